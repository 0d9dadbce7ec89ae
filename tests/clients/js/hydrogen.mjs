// Hydrogen's whole application, put together of what its SDK exports.

import { FeatureFlag, FeatureSet, Platform, RootViewModel, createNavigation, createRouter } from "hydrogen-view-sdk";

const olm = { wasm: "olm/olm.wasm", legacyBundle: "olm/olm_legacy.js", wasmBundle: "olm/olm.js" };
const assetPaths = { downloadSandbox: "assets/download-sandbox.html", worker: "assets/main.js", serviceWorker: "sw.js", olm };
const platform = new Platform({
    container: document.body,
    assetPaths,
    config: { defaultHomeServer: new URLSearchParams(location.search).get("server") },
    options: { development: true },
});

await platform.init();
const navigation = createNavigation();
platform.setNavigation(navigation);
const urlRouter = createRouter({ navigation, history: platform.history });
urlRouter.attach();
const features = (await FeatureSet.load(platform.settingsStorage)).withFeature(FeatureFlag.CrossSigning);
const app = new RootViewModel({ platform, urlRouter, navigation, features });
await app.load();
platform.createAndMountRootView(app);
