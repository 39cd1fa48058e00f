// What the server says, as elements. Texts are set as text and never read as HTML.

export const $ = (id) => document.getElementById(id);

// Make an element with a class, and with a text or other elements in it.
export function make(tag, name, ...content) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...content);
  return element;
}

// Write 0.9712 as "97.1 %". Only what is certain is 100 %, and only what is impossible 0 %.
export function percent(share) {
  if (share > 0.999 && share < 1) return "> 99.9\u00a0%";
  if (share > 0 && share < 0.001) return "< 0.1\u00a0%";
  return `${Number((share * 100).toFixed(1))}\u00a0%`;
}

export function showProblem(element, message) {
  element.textContent = message;
  element.hidden = !message;
}

// Show the answer for a product that was to be judged at an accuracy, by a model that sees `inputs`.
export function showAnswer(prediction, accuracy, inputs) {
  showProblem($("problem"), prediction.error ? unjudged(prediction) : "");
  $("said").replaceChildren(...(prediction.error ? [] : [decision(prediction, accuracy)]));
  $("result").hidden = Boolean(prediction.error);
  $("top").replaceChildren(...prediction.top.map(bar));
  $("each").replaceChildren(...inputs.map((input) => said(input, prediction)));
  $("missing").replaceChildren(...notes(prediction).map((note) => make("li", "", note)));
  const neighbors = prediction.neighbors ?? [];
  $("alike").hidden = !neighbors.length;
  $("neighbors").replaceChildren(...neighbors.map(neighbor));
}

export function clearAnswer() {
  $("said").replaceChildren();
  showProblem($("problem"), "");
  $("empty").hidden = $("result").hidden = $("alike").hidden = true;
}

function unjudged({ error, image_error }) {
  const why = `This product cannot be judged: ${error}`;
  return image_error ? `${why}. ${unusable(image_error)}` : why;
}

function unusable(reason) {
  return `The image could not be used: ${reason}`;
}

function decision({ decision, label, probability }, accuracy) {
  const sure = percent(probability);
  const box = make("div", `decision ${decision}`);
  if (decision === "file") {
    box.append(
      make("strong", "", `File as ${label}`),
      `Probability ${sure}. Of the products filed at this setting, at least ${percent(accuracy)} should be right.`,
    );
  } else {
    box.append(
      make("strong", "", "Ask a person"),
      `${label} fits best (${sure}), which is too unsure for an accuracy of ${percent(accuracy)}.`,
    );
  }
  return box;
}

function bar({ label, probability }) {
  const inner = make("div", "bar");
  inner.style.width = `${100 * probability}%`;
  const track = make("div", "track", inner);
  track.setAttribute("aria-hidden", "true");
  return make("li", "", make("span", "label", label), make("span", "share", percent(probability)), track);
}

// Say what one input would be without the other.
function said(input, prediction) {
  const name = make("dt", "", input === "image" ? "Image alone" : "Text alone");
  const candidate = prediction[input];
  if (candidate) {
    return make("div", "", name, make("dd", "", candidate.label), make("dd", "share", percent(candidate.probability)));
  }
  const lost = input === "image" && prediction.image_error ? "could not be used" : "none given";
  return make("div", "", name, make("dd", "none", lost));
}

function notes({ missing, image, text, image_error }) {
  const found = [];
  if (image_error) found.push(unusable(image_error));
  else if (missing.includes("image")) found.push("Judged without an image: the answer may be less sure.");
  if (missing.includes("text")) found.push("Judged without a text: the answer may be less sure.");
  if (image && text && image.label !== text.label) found.push("Image and text do not agree.");
  return found;
}

function neighbor({ sku, name, label, similarity, thumbnail }) {
  const picture = make("div", thumbnail ? "picture" : "picture none");
  if (thumbnail) {
    const image = make("img");
    image.src = `data:image/jpeg;base64,${thumbnail}`;
    image.alt = "";
    picture.append(image);
  } else picture.append("no image");
  const title = make("span", "title", name || `SKU ${sku}`);
  title.title = name || sku;
  const alike = make("span", "alike", `similarity ${similarity.toFixed(2)}`);
  return make("li", "", picture, make("div", "facts", title, make("span", "label", label), alike));
}
