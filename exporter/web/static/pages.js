// Makes pages better that work without it: filters act while they are typed, and what changes is kept up to date.
"use strict";

const FILTER_PAUSE_MILLISECONDS = 250;
const SHOWN_MILLISECONDS = 1500;

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
  const other = page.getElementById(part.id);
  if (!other) {
    return;
  }
  for (const details of part.querySelectorAll("details[id][open]")) {
    other.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
  }
  const adopted = document.adoptNode(other);
  part.replaceWith(adopted);
  showLocalTimes(adopted);
}

/** Shows times in the time zone of the browser; UTC is shown on hover. */
function showLocalTimes(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const then = new Date(time.dateTime);
    const offset = -then.getTimezoneOffset();
    const [hours, minutes] = [Math.abs(offset) / 60, Math.abs(offset) % 60].map((one) => String(Math.trunc(one)).padStart(2, "0"));
    const local = new Date(then.getTime() + offset * 60_000).toISOString().slice(0, 19).replace("T", " ");
    const words = `${local} ${offset < 0 ? "-" : "+"}${hours}:${minutes}`;
    const utc = time.dateTime.replace("T", " ").replace("Z", " UTC");
    if (time.hasAttribute("data-clock")) {
      time.textContent = words;
      time.title = utc;
    } else {
      time.title = `${words}\n${utc}`;
    }
  }
}

/** Puts a text on the clipboard; plain HTTP has only the older way. */
async function isCopied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** Copies the text of the button that was pressed. */
async function copy(event) {
  const button = event.target.closest("button[data-copy]");
  if (!button) {
    return;
  }
  const shown = button.firstChild;
  const word = shown.data;
  shown.data = (await isCopied(button.dataset.copy)) ? "Copied" : "Failed";
  setTimeout(() => {
    shown.data = word;
  }, SHOWN_MILLISECONDS);
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

/** Keeps parts up to date, unless someone reads in one with the keyboard, selects in it, or pauses. */
function keepFresh() {
  const parts = () => [...document.querySelectorAll("[data-refresh]")];
  let paused = false;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "pause";

  function describe() {
    button.textContent = paused ? "Resume refreshing" : "Pause refreshing";
  }

  function isInUse(part) {
    const selection = getSelection();
    return part.contains(document.activeElement) || (!selection.isCollapsed && part.contains(selection.anchorNode));
  }

  async function refresh() {
    if (!paused && !document.hidden && !parts().every(isInUse)) {
      const address = location.href;
      const page = await fetched(address);
      if (page && !paused && address === location.href) {
        parts().filter((part) => !isInUse(part)).forEach((part) => replace(part, page));
      }
    }
    wait();
  }

  function wait() {
    const periods = parts().map((part) => Number(part.dataset.refresh));
    if (periods.length > 0) {
      setTimeout(refresh, Math.min(...periods) * 1000);
    } else {
      button.remove();
    }
  }

  button.addEventListener("click", () => {
    paused = !paused;
    describe();
  });
  describe();
  document.querySelector("body > header").append(button);
  wait();
}

document.documentElement.classList.add("has-script");
document.addEventListener("click", copy);
document.querySelectorAll("form[data-filter]").forEach(followFilter);
showLocalTimes(document);
keepFresh();
