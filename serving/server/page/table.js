// A table of products: sent as a CSV, given back with the predictions.

import { request } from "./api.js";
import { $, make, showProblem } from "./view.js";

let last = null; // where the browser keeps the table that was given back last

// Send the chosen table and offer the answer for download.
export async function classifyTable(accuracy) {
  const file = $("csv").files[0];
  showProblem($("table-problem"), "");
  $("table-result").hidden = true;
  $("table-said").textContent = "Reading the table …";
  try {
    const response = await request(`v1/table?accuracy=${accuracy}`, {
      method: "POST",
      headers: { "Content-Type": "text/csv" },
      body: file,
    });
    const total = Number(response.headers.get("X-Rows"));
    const parts = await read(response, total);
    const notes = response.headers.get("X-Note");
    offer(parts, file.name.replace(/\.[^.]*$/, ""));
    $("table-said").replaceChildren(`Done: ${count(total)}. ${notes ?? ""}`.trim());
  } catch (error) {
    $("table-said").textContent = "";
    throw error;
  }
}

// Return the bytes of the answer, and say meanwhile how many rows there are.
async function read(response, total) {
  const parts = [];
  const reader = response.body.getReader();
  let rows = -1; // the first line is the header
  let quoted = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      for (const byte of value) {
        if (byte === 0x22) quoted = !quoted;
        else if (byte === 0x0a && !quoted) rows += 1;
      }
      $("table-said").textContent = `${Math.max(rows, 0).toLocaleString("en")} of ${count(total)} …`;
    }
  } catch {
    throw new Error("The answer broke off before its end. Try again.");
  }
  return parts;
}

function offer(parts, name) {
  if (last) URL.revokeObjectURL(last);
  last = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
  const link = $("download");
  link.href = last;
  link.download = `${name}-predictions.csv`;
  link.replaceChildren("Download ", make("b", "", link.download));
  $("table-result").hidden = false;
}

const count = (rows) => `${rows.toLocaleString("en")} ${rows === 1 ? "row" : "rows"}`;
