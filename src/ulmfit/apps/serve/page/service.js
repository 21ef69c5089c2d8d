// Asks the service. A refusal becomes an Error with the service's own words.

const KEPT = "ulmfit-token";

export class Refusal extends Error {
  constructor(status, body, seconds) {
    super([body.error ?? `The service answered ${status}.`, body.expected && `Expected: ${body.expected}.`, body.hint]
      .filter(Boolean).join(" "));
    this.status = status;
    this.seconds = seconds;
  }
}

export async function ask(path, body, signal) {
  for (;;) {
    const response = await send(path, body, signal);
    if (response.ok) return response.json();
    const refusal = new Refusal(
      response.status, await response.json().catch(() => ({})), Number(response.headers.get("Retry-After")) || 1,
    );
    if (refusal.status !== 401) throw refusal;
    await token(sessionStorage.getItem(KEPT) !== null);
  }
}

// As `ask`, but comes back as often as a busy service says.
export async function askPatiently(path, body, signal) {
  for (;;) {
    try {
      return await ask(path, body, signal);
    } catch (error) {
      if (error.status !== 429) throw error;
      await pause(1000 * error.seconds, signal);
    }
  }
}

export function pause(milliseconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); }, { once: true });
  });
}

export function isAborted(error) {
  return error?.name === "AbortError";
}

async function send(path, body, signal) {
  const headers = {};
  const known = sessionStorage.getItem(KEPT);
  if (known) headers.Authorization = `Bearer ${known}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(path, {
      method: body === undefined ? "GET" : "POST", headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (isAborted(error)) throw error;
    throw new Error("The service does not answer. Is it still running?");
  }
}

let asking = null;

// Ask the user for the token; all who wait for it share one dialog.
function token(wasWrong) {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById("ask");
    const input = document.getElementById("token");
    document.getElementById("ask-problem").hidden = !wasWrong;
    document.getElementById("ask-form").onsubmit = (event) => {
      event.preventDefault();
      const given = input.value.trim();
      if (!/^[\x21-\x7e]+$/.test(given)) { input.focus(); return; }
      sessionStorage.setItem(KEPT, given);
      input.value = "";
      dialog.close();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => { asking = null; done(); };
    dialog.showModal();
    input.focus();
  });
  return asking;
}
