#!/usr/bin/env node
/** The `bursar` command of a checkout: the same first step as `npm start`, then the CLI. */
import { main } from './bootstrap.mjs'

await main(['bursar', ...process.argv.slice(2)])
