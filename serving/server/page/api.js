// Requests to the server. What goes wrong is an Error whose message a person can read.

const KEY = "product-classifier-key";

export class KeyNeeded extends Error {}

export function keep(key) {
  sessionStorage.setItem(KEY, key.trim());
}

// Write a text as the bytes of its UTF-8: a header takes no character beyond Latin-1.
function inHeader(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

// Send a request and return its response. Throws KeyNeeded where the server wants another key.
export async function request(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${inHeader(key)}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. Check that it runs, and try again.");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    throw new KeyNeeded(key ? "The server does not accept this key." : "The server asks for a key.");
  }
  throw new Error(await reason(response));
}

// Say in plain words why a request was refused.
async function reason(response) {
  const wait = response.headers.get("Retry-After");
  const body = await response.json().catch(() => ({}));
  const said = detail(body.detail);
  switch (response.status) {
    case 413:
      return `That is too large for this server. ${said}`.trim();
    case 429: {
      const later = wait ? `in ${wait} ${wait === "1" ? "second" : "seconds"}` : "later";
      return `The server has too much to do. Try again ${later}.`;
    }
    case 500:
      return "The server failed. Its log says why.";
    default:
      return said || `The server refused this (${response.status} ${response.statusText}).`;
  }
}

// Write the reason of a refusal as a sentence.
function detail(said) {
  if (!said) return "";
  return String(said).charAt(0).toUpperCase() + String(said).slice(1);
}
