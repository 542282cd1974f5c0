/** `npm ci` will accept the lock file; the check rejects what it must. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { PROJECT } from '../project.ts'
import { type LockFile, missingPackages } from './lock-file.ts'

t.test('lock-file: the house', async (t) => {
  const lock = JSON.parse(readFileSync(`${PROJECT}package-lock.json`, 'utf8')) as LockFile // npm's own format
  t.ok(Object.keys(lock.packages).length > 100, 'there was something to check')
  t.strictSame(missingPackages(lock), [], 'complete; see tools/dev/complete-lock.mjs')
  const manifest = JSON.parse(readFileSync(`${PROJECT}package.json`, 'utf8'))
  const root = lock.packages['']
  t.strictSame(root?.dependencies, manifest.dependencies, 'package.json asks for the same')
  t.strictSame(root?.devDependencies, manifest.devDependencies, 'package.json asks for the same')
})

t.test('lock-file: what it must reject and accept', async (t) => {
  const missing = (packages: LockFile['packages']): string[] => missingPackages({ packages })
  const wants = { dependencies: { b: '1.0.0' } }
  t.strictSame(missing({ '': wants }), ['the project wants b'])
  t.strictSame(missing({ '': { devDependencies: { b: '1' } } }), ['the project wants b'])
  t.strictSame(missing({ 'node_modules/a': { optionalDependencies: { b: '1' } } }), ['node_modules/a wants b'])
  t.strictSame(missing({ 'node_modules/a': wants, 'node_modules/c/node_modules/b': {} }), ['node_modules/a wants b'])
  t.strictSame(missing({ 'node_modules/a': wants, 'node_modules/b': {} }), [])
  t.strictSame(missing({ 'node_modules/@x/a': wants, 'node_modules/@x/a/node_modules/b': {} }), [])
  const deep = 'node_modules/a/node_modules/c'
  t.strictSame(missing({ [deep]: wants, 'node_modules/a/node_modules/b': {} }), [])
})
