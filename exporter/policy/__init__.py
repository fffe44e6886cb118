"""What is expected of tasks, and what is not so.

`rule.py` says what a rule is. Rules come from `rule_files.py`, `default_rules.py` and `expectations.py`;
`language.py` compiles their expressions over what `vocabulary.py` declares and `facts.py` finds in a task.
`loading.py` puts those together that a configuration has in force, as a `RuleSet`.
`app_policy.py` keeps one app's findings in step with its tasks, `policy.py` those of all apps.
"""
