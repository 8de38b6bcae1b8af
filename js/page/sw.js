// Keeps every file of the page, so that it opens without a network. The two values below are written by dinku export --web.
const VERSION = "@VERSION@";
const FILES = ["@FILES@"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })))));
  self.skipWaiting();
});
self.addEventListener("activate", (event) => {
  const others = caches.keys().then((keys) => Promise.all(keys.filter((key) => key.startsWith("dinku-") && key !== VERSION).map((key) => caches.delete(key))));
  event.waitUntil(others.then(() => self.clients.claim()));
});
self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && new URL(event.request.url).origin === self.location.origin) {
    const kept = caches.open(VERSION).then((cache) => cache.match(event.request, { ignoreSearch: true }));
    event.respondWith(kept.then((response) => response ?? fetch(event.request)));
  }
});
