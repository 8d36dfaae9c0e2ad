// The form that asks for a token, when the server wants one.

import { logIn } from "../api.js";
import { h, show } from "../dom.js";

export function draw(main, done) {
  let problem = "";
  let works = false;
  const submit = async (event) => {
    event.preventDefault();
    const field = main.querySelector("#token");
    works = true;
    problem = "";
    form();
    try {
      await logIn(field.value);
      done();
    } catch (error) {
      works = false;
      problem = error.status === 401 ? "This token isn't valid." : error.message;
      form();
      field.select();
    }
  };
  const form = () =>
    show(
      main,
      h(
        "form", { class: "card login", key: "login", on: { submit } },
        h("h1", {}, "Log in"),
        h("p", { class: "soft" }, "This admin page needs a token. Ask the person who runs it."),
        h("label", { class: "field", for: "token" }, "Token", h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": problem ? "token-problem" : null, "aria-invalid": problem ? "true" : null })),
        problem ? h("p", { id: "token-problem", class: "problem red wrap", role: "alert" }, problem) : null,
        h("div", { class: "buttons" }, h("button", { type: "submit", class: "button main", disabled: works }, works ? "Checking…" : "Log in")),
      ),
    );
  form();
  main.querySelector("#token").focus();
}
