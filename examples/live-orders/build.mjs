// build.mjs - the pages with React, Svelte, Vue and htmx, from npm packages.
//
//   node build.mjs NODE_MODULES FOLDER
//
// NODE_MODULES has esbuild, react, react-dom, svelte, vue, htmx.org and htmx-ext-sse; the pages go to FOLDER, where
// rowcast.js is. A project of your own has a bundler that does this.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, folder] = process.argv.slice(2).map((name) => path.resolve(name));
const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const require = createRequire(path.join(modules, 'from-here.js'));
const esbuild = require('esbuild');
const { compile } = await import(pathToFileURL(path.join(modules, 'svelte/src/compiler/index.js')));

const svelte = {
  name: 'svelte',
  setup(build) {
    build.onLoad({ filter: /\.svelte$/ }, ({ path: file }) => {
      const source = fs.readFileSync(file, 'utf8');
      return { contents: compile(source, { filename: file, css: 'injected' }).js.code, resolveDir: path.dirname(file) };
    });
  },
};

function page(name) {
  return `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orders, with ${name}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<h1>Orders, with ${name}</h1>
<div id="app"></div>
<script type="module" src="${name.toLowerCase()}.js"></script>
`;
}

async function bundle(name, entry) {
  await esbuild.build({ ...entry, bundle: true, format: 'esm', outfile: path.join(folder, `${name.toLowerCase()}.js`),
    external: ['./rowcast.js'], nodePaths: [modules], jsx: 'automatic', minify: true, plugins: [svelte],
    conditions: ['browser', 'production'], define: { 'process.env.NODE_ENV': '"production"' }, logLevel: 'warning' });
  fs.writeFileSync(path.join(folder, `${name.toLowerCase()}.html`), page(name));
}

await bundle('React', { entryPoints: [path.join(here, 'react.jsx')] });
await bundle('Svelte', { stdin: { resolveDir: here, contents: `import { mount } from 'svelte';
  import Orders from './Orders.svelte';
  mount(Orders, { target: document.getElementById('app') });` } });
for (const file of ['vue/dist/vue.esm-browser.prod.js', 'htmx.org/dist/htmx.min.js', 'htmx-ext-sse/sse.js'])
  fs.copyFileSync(path.join(modules, file), path.join(folder, path.basename(file)));
for (const file of ['vue.html', 'htmx.html'])
  fs.copyFileSync(path.join(here, file), path.join(folder, file));
