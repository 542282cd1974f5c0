/** Tests run in dist/test/protocol, and read documents and vectors where they are written. */
import { fileURLToPath } from 'node:url'

export const repositoryRoot = fileURLToPath(new URL('../../../', import.meta.url))
