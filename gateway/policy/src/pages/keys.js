"use strict";
for (const button of document.querySelectorAll("button[data-key]")) {
  const form = button.form;
  const status = form.querySelector("[role=status]");
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  button.addEventListener("click", async () => {
    const options = JSON.parse(button.dataset.options);
    options.challenge = bytes(options.challenge);
    for (const list of [options.allowCredentials, options.excludeCredentials]) {
      for (const known of list || []) known.id = bytes(known.id);
    }
    if (options.user) options.user.id = bytes(options.user.id);
    status.textContent = status.dataset.wait;
    button.disabled = true;
    try {
      const made = await navigator.credentials[button.dataset.key]({ publicKey: options });
      const answer = { id: text(made.rawId), client: text(made.response.clientDataJSON) };
      if (button.dataset.key === "create") {
        answer.attestation = text(made.response.attestationObject);
      } else {
        answer.authenticator = text(made.response.authenticatorData);
        answer.signature = text(made.response.signature);
      }
      form.elements.answer.value = JSON.stringify(answer);
      form.submit();
    } catch {
      status.textContent = status.dataset.failed;
      button.disabled = false;
    }
  });
}
