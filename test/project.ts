/** Where the project lies. Compiled tests run in dist/test, and read what is not compiled where it is written. */
import { fileURLToPath } from 'node:url'

/** With a `/` at its end. */
export const PROJECT = fileURLToPath(new URL('../../', import.meta.url))
