/** The house checks that look at sources and pages, in one process: they share what the compiler has read. */
import './casts.cases.ts'
import './determinism.cases.ts'
import './durability.cases.ts'
import './import-direction.cases.ts'
import './links.cases.ts'
import './lock-file.cases.ts'
import './null-comparison.cases.ts'
import './tidy.cases.ts'
