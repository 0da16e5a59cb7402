import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// `npm run dev` shows the page with the data of a PerfWatch that runs here.
const server = process.env.PERFWATCH_URL ?? 'http://127.0.0.1:9909';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // The page's content security policy allows no inline script, which the polyfill would be.
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    rollupOptions: {
      output: {
        entryFileNames: 'assets/app-[hash].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
  server: { proxy: { '/api': { target: server, ws: true, changeOrigin: true, headers: { origin: server } } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
