// The page: one product with its image and texts, or a whole table.

import { KeyNeeded, keep, request } from "./api.js";
import { classifyTable } from "./table.js";
import { $, clearAnswer, percent, showAnswer, showProblem } from "./view.js";

let inputs = []; // which of image and text the model sees
let image = null; // the file that was chosen, dropped or pasted
let again = null; // what to do once there is a key
const running = new Set(); // what the server has not answered yet

// Run an action that asks the server; a second press while it runs does nothing.
async function run(action, problem, button) {
  if (running.has(action)) return;
  running.add(action);
  button?.setAttribute("aria-disabled", "true");
  try {
    await action();
  } catch (error) {
    if (error instanceof KeyNeeded) askForKey(error.message, () => run(action, problem, button));
    else showProblem(problem, error.message);
  } finally {
    running.delete(action);
    button?.removeAttribute("aria-disabled");
  }
}

function askForKey(message, retry) {
  again = retry;
  $("access-why").textContent = `${message} It is kept in this tab until you close it.`;
  $("access").hidden = false;
  $("key").focus();
}

async function showLabels() {
  const said = await (await request("v1/labels")).json();
  const { labels, accuracies, model, has_random_weights } = said;
  inputs = said.inputs;
  $("model").textContent = `The model ${model} sorts products into ${labels.length} classes.`;
  $("random").hidden = !has_random_weights;
  $("accuracy").replaceChildren(
    ...accuracies.map(({ accuracy, threshold }) => {
      const never = threshold === null ? ": not promised, always asks" : "";
      return new Option(`${percent(accuracy)}${never}`, accuracy, accuracy === 0.95, accuracy === 0.95);
    }),
  );
  $("image-field").hidden = !inputs.includes("image");
  $("no-images").hidden = inputs.includes("image");
  $("text-fields").hidden = !inputs.includes("text");
  $("no-texts").hidden = inputs.includes("text");
  $("table").hidden = !inputs.includes("text");
}

// Without the accuracies, which need the key as well, nothing can be asked.
async function needLabels() {
  if (!$("accuracy").options.length) await showLabels();
}

async function classify() {
  await needLabels();
  const product = { name: $("name").value, description: $("description").value };
  if (image) product.image = await base64(image);
  clearAnswer();
  if (!Object.values(product).some((value) => value.trim())) {
    throw new Error("There is nothing to judge yet: give an image, a name or a description.");
  }
  const accuracy = Number($("accuracy").value);
  const response = await request("v1/predict", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ products: [product], accuracy, top: 5, neighbors: 5 }),
  });
  const { predictions } = await response.json();
  showAnswer(predictions[0], accuracy, inputs);
}

// On a telephone the answer is below the form.
function reveal() {
  if ($("answer").getBoundingClientRect().top > window.innerHeight / 2) $("answer").scrollIntoView();
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read: choose it again.`));
    reader.readAsDataURL(file);
  });
}

// Take an image, or none, and show it.
function take(file) {
  image = file;
  if ($("preview").src) URL.revokeObjectURL($("preview").src);
  $("preview").hidden = $("remove").hidden = !file;
  $("drop-text").textContent = file ? file.name : "Drop an image here, paste it, or choose a file";
  if (file) $("preview").src = URL.createObjectURL(file);
  else {
    $("preview").removeAttribute("src");
    $("image").value = "";
  }
}

function takeFrom(files) {
  const file = files[0];
  if (file) take(file);
  return Boolean(file);
}

$("preview").addEventListener("error", () => ($("preview").hidden = true)); // HEIC, or no image at all
$("image").addEventListener("change", () => takeFrom($("image").files));
$("remove").addEventListener("click", () => {
  take(null);
  $("image").focus();
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    if (event.target === $("csv") || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // or the browser leaves the page to show the file
    const over = type === "dragover" && $("drop").contains(event.target);
    $("drop").classList.toggle("over", over);
    if (type === "drop" && $("drop").contains(event.target)) takeFrom(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.types.includes("text/plain")) return; // Excel copies a picture as well
  if (!$("image-field").hidden && takeFrom(event.clipboardData.files)) event.preventDefault();
});
$("description").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("product").requestSubmit();
});

$("product").addEventListener("submit", (event) => {
  event.preventDefault();
  run(classify, $("problem"), $("classify")).then(reveal);
});
$("table").addEventListener("submit", (event) => {
  event.preventDefault();
  run(sendTable, $("table-problem"), event.submitter);
});
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  keep($("key").value);
  $("key").value = "";
  $("access").hidden = true;
  again?.();
});

async function sendTable() {
  await needLabels();
  await classifyTable($("accuracy").value);
}

run(showLabels, $("problem"));
