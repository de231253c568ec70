// Shows what arrives while the page is open, and lets a person make a service misbehave.
const key = new URLSearchParams(location.search).get("key");
const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
const seen = document.body.dataset.version;
const busy = () => document.activeElement && document.activeElement.tagName === "SELECT";

setInterval(async () => {
  try {
    const answer = await fetch("/inbox/version", { headers });
    if (!busy() && (await answer.text()) !== seen) location.reload();
    document.getElementById("stale").hidden = true;
  } catch {
    document.getElementById("stale").hidden = false;
  }
}, 2000);

for (const select of document.querySelectorAll("select")) {
  select.addEventListener("change", async () => {
    await fetch(`/faults/${select.name}`, { method: "PUT", headers, body: JSON.stringify({ mode: select.value }) });
    location.reload();
  });
}
