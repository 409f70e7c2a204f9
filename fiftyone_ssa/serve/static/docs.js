// openapi.json as a page: what each path takes and answers. Loads nothing from elsewhere.
"use strict";

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function fieldRows(schema) {
  return Object.entries(schema?.properties ?? {}).map(([name, field]) => {
    const kind = field.enum ? field.enum.join(" | ") : field.format ?? field.type ?? "";
    const must = (schema.required ?? []).includes(name) ? "required" : field.default !== undefined ? `default ${field.default}` : "";
    return element("tr", "", element("td", "", element("code", name)), element("td", kind), element("td", must), element("td", field.description ?? ""));
  });
}

function operation(path, method, told) {
  const made = element("details", "", element("summary", "", element("b", method.toUpperCase()), element("code", path), ` ${told.description ?? told.summary ?? ""}`));
  made.open = path === "/label";
  if (told.requestBody) {
    if (told.requestBody.description) made.append(element("p", told.requestBody.description));
    for (const [type, body] of Object.entries(told.requestBody.content)) {
      made.append(element("p", "", "as ", element("code", type)), element("table", "", ...fieldRows(body.schema)));
    }
  }
  if (path === "/label") {
    const root = location.origin;
    made.append(element("pre", `curl -F image=@photo.jpg ${root}/label > photo_semantic.json\ncurl -F image=@photo.jpg -F masks=@photo.json -F format=coco ${root}/label\ncurl --data-binary @photo.jpg -H "Content-Type: image/jpeg" "${root}/label?format=coco"`));
  }
  const answers = Object.entries(told.responses).map(([status, answer]) => element("tr", "", element("td", "", element("code", status)), element("td", answer.description ?? "")));
  made.append(element("table", "", ...answers));
  return made;
}

fetch("/openapi.json").then((response) => response.json()).then((told) => {
  document.getElementById("title").textContent = told.info.title;
  document.getElementById("preset").textContent = told.info.summary ?? "";
  document.getElementById("paths").append(...Object.entries(told.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operationTold]) => operation(path, method, operationTold))));
}).catch(() => { document.getElementById("preset").textContent = "the service did not answer; is it running?"; });
