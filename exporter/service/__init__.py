"""The composition root of the daemon: accounts, apps, supervisor, publishers, reload, systemd."""
