#!/usr/bin/env node
/** The `travertine` command as a process: its words, its streams, its end. What the words mean is travertine.ts's. */
import { outputDone, watchBrokenPipe } from './output.ts'
import { runTravertine } from './travertine.ts'

watchBrokenPipe()
const exitCode = await runTravertine(process.argv.slice(2))
await outputDone() // a full pipe takes the rest later; without this it would be cut off
process.exit(exitCode) // a handle left open cannot keep us here
