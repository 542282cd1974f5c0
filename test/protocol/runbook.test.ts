/** docs/RUNBOOK.md has a section for whatever a node's log may name, in the order of the list, with what to do. */
import t from 'tap'
import { DEFECT_CODE, ERROR_CODES } from '../../protocol/errors.ts'
import { readDocument } from './spec-document.ts'

t.test('headings equal the error codes, and each says how it looks and what to do', async (t) => {
  const sections = readDocument('RUNBOOK').split(/^## /m).slice(1)
  t.same(
    sections.map((section) => section.split('\n')[0]),
    [...Object.keys(ERROR_CODES), DEFECT_CODE],
  )
  for (const section of sections) {
    t.match(section, /^[A-Z_]+\n\n\*\*Seen\.\*\* [\s\S]{20,}?\n\n\*\*Do\.\*\* [\s\S]{20,}/)
  }
})
