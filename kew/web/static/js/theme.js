// Runs before the first paint: the theme that was chosen, or else the system's.
(() => {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem("kew-theme");
    } catch {
      return null;
    }
  };
  const apply = () => {
    document.documentElement.dataset.theme = chosen() || (system.matches ? "dark" : "light");
    window.dispatchEvent(new Event("kew-theme"));
  };
  window.kewTheme = {
    toggle() {
      const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      try {
        if (next === (system.matches ? "dark" : "light")) localStorage.removeItem("kew-theme");
        else localStorage.setItem("kew-theme", next);
        apply();
      } catch {
        document.documentElement.dataset.theme = next;
        window.dispatchEvent(new Event("kew-theme"));
      }
    },
  };
  system.addEventListener("change", apply);
  apply();
})();
