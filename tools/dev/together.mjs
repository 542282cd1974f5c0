/**
 * Runs several small test files in one process, one after the other: to start Node and to load tap takes longer than most
 * of them. Started by test.mjs, with the paths of the files.
 *
 * Each file becomes a test with its path as name, and what the file gives to `t.test` a part of that one. So files here
 * use of tap's own object nothing but `test`: a hook or a plan of one would be one of all others too.
 */
import { pathToFileURL } from 'node:url'
import t from 'tap'

const [root, ...paths] = process.argv.slice(2)
const { test } = t
const waiting = new Set(paths)
process.on('exit', () => {
  if (waiting.size > 0) console.error(`not run: ${[...waiting].join(', ')}`) // a file before them has ended the process
})

for (const path of paths) {
  await test(path, async (file) => {
    waiting.delete(path)
    const parts = []
    t.test = (...words) => {
      const part = file.test(...words)
      parts.push(part)
      return part
    }
    await import(pathToFileURL(`${root}/${path}`).href)
    if (parts.length === 0) throw new Error(`Cannot test: found no test in ${path}`)
    await Promise.all(parts)
    const { exitCode } = process
    process.exitCode = undefined // the next file may set it, and must not wipe it out
    if (exitCode) throw new Error(`Cannot pass ${path}: it has set exit code ${exitCode}`)
  })
}
