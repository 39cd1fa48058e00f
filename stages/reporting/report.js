"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const imageOf = (card) => (card.image === undefined ? null : "data:image/webp;base64," + data.images[card.image]);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function cardElement(number, note, isSmall) {
  const card = data.cards[number];
  const made = element("article", "", "card");
  const source = imageOf(card);
  if (source) {
    const image = element("img");
    image.src = source;
    image.alt = "";
    made.append(image);
  } else {
    made.append(element("div", "no image", "none"));
  }
  const name = element("p");
  name.append(element("strong", card.name || card.sku));
  made.append(name, element("p", card.sku, "soft"), element("p", "label: " + data.classes[card.label]));
  if (note) made.append(element("p", note));
  if (isSmall) return made;
  const said = element("ul");
  for (const [modality, [prediction, probability]] of Object.entries(card.said)) {
    const right = prediction === card.label;
    const line = element("li", `${right ? "✓" : "✗"} ${modality}: `, right ? "is-right" : "is-wrong");
    // Apart from the text around it: else a name that runs to the left takes the number along.
    line.append(element("bdi", data.classes[prediction]), `, ${(100 * probability).toFixed(0)}\u00a0%`);
    said.append(line);
  }
  if (said.children.length) made.append(said);
  return made;
}

const dialog = document.getElementById("dialog");
function show(title, numbers, count) {
  document.getElementById("dialog-title").textContent = title;
  const hidden = count - numbers.length;
  document.getElementById("dialog-note").textContent = hidden > 0
    ? `${numbers.length} of ${count} products; the files in data/predictions/ have all.` : "";
  document.getElementById("dialog-cards").replaceChildren(...numbers.map((number) => cardElement(number)));
  dialog.showModal();
}
document.getElementById("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
for (const button of document.querySelectorAll("[data-products]")) {
  button.addEventListener("click", () =>
    show(button.dataset.title, data.lists[button.dataset.products] || [], Number(button.dataset.count)));
}
for (const place of document.querySelectorAll("[data-cards]")) {
  const notes = data.notes[place.dataset.cards] || [];
  const isSmall = place.classList.contains("small");
  place.append(...data.lists[place.dataset.cards].map((number, i) => cardElement(number, notes[i], isSmall)));
}

function withCards(spec) {
  for (const rows of [spec.data, ...(spec.layer || []).map((layer) => layer.data)]) {
    for (const row of (rows && rows.values) || []) {
      if (row.card === undefined || row.card < 0) continue;
      row.name = data.cards[row.card].name;
      row.image = imageOf(data.cards[row.card]) || undefined;
    }
  }
  return spec;
}

async function draw(place) {
  const spec = withCards(data.charts[place.dataset.chart]);
  // A narrow page would cut off two legends side by side, and those of a plot beside long labels.
  spec.config.legend.layout = { top: { direction: "vertical" } };
  const limit = Math.min(220, 0.4 * place.offsetWidth);
  spec.config.axisY = { labelLimit: limit };
  // Vega would cut off the ends of names, by which classes are told apart.
  const axis = spec.encoding?.y.axis;
  if (axis?.labelExpr) axis.labelExpr = axis.labelExpr.replace("28", Math.min(28, Math.floor(limit / 7)));
  spec.config.legend.columns = Math.max(1, Math.floor(place.offsetWidth / 180));
  const made = await vegaEmbed(place, spec, { actions: false, renderer: "svg" });
  made.view.addEventListener("click", (event, item) => {
    const number = item && item.datum && item.datum.card;
    if (number >= 0) show(data.cards[number].name || data.cards[number].sku, [number], 1);
  });
  place.classList.add("drawn");
}
document.querySelectorAll(".chart").forEach(draw);

for (const tabs of document.querySelectorAll(".tabs")) {
  tabs.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    for (const button of tabs.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button === chosen));
      document.getElementById(button.dataset.shows).hidden = button !== chosen;
    }
  });
}
