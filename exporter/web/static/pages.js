// Makes pages better that work without it: filters act while they are typed, and what changes is kept up to date.
"use strict";

const FILTER_PAUSE_MILLISECONDS = 250;

/** Returns the page at an address, or null where it can't be had. */
async function fetched(address, signal) {
  try {
    const answer = await fetch(address, { signal, headers: { Accept: "text/html" } });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null;
  }
}

/** Puts a part of another page in the place of ours; details that were opened stay open. */
function replace(part, page) {
  const other = part.id ? page.getElementById(part.id) : page.querySelector("[data-refresh]");
  if (!other) {
    return part;
  }
  for (const details of part.querySelectorAll("details[id][open]")) {
    other.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
  }
  const adopted = document.adoptNode(other);
  part.replaceWith(adopted);
  return adopted;
}

/** Lets a filter act while it is typed. */
function followFilter(form) {
  let timer = 0;
  let running = new AbortController();

  async function apply() {
    running.abort();
    running = new AbortController();
    const fields = [...new FormData(form)].filter(([, value]) => value !== "");
    const address = new URL(form.action);
    address.search = new URLSearchParams(fields).toString();
    const page = await fetched(address, running.signal);
    const part = document.getElementById(form.dataset.filter);
    if (page && part) {
      replace(part, page);
      history.replaceState(null, "", address);
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, FILTER_PAUSE_MILLISECONDS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    apply();
  });
}

/** Keeps a part up to date, unless someone reads in it with the keyboard, selects in it, or pauses. */
function keepFresh(first) {
  let part = first;
  let paused = false;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "pause";

  function describe() {
    button.textContent = paused ? "Go on refreshing" : "Pause refreshing";
  }

  button.addEventListener("click", () => {
    paused = !paused;
    describe();
  });
  describe();
  document.querySelector("body > header").append(button);

  async function refresh() {
    const selection = getSelection();
    const isInUse = part.contains(document.activeElement) || (!selection.isCollapsed && part.contains(selection.anchorNode));
    if (!paused && !document.hidden && !isInUse) {
      const page = await fetched(location.href);
      if (page && !paused) {
        part = replace(document.getElementById(part.id) ?? part, page);
      }
    }
    const seconds = Number(part.dataset.refresh);
    if (seconds > 0) {
      setTimeout(refresh, seconds * 1000);
    } else {
      button.remove();
    }
  }

  setTimeout(refresh, Number(part.dataset.refresh) * 1000);
}

document.querySelectorAll("form[data-filter]").forEach(followFilter);
document.querySelectorAll("[data-refresh]").forEach(keepFresh);
