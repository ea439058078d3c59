/**
 * What became of news that a processor told by itself. `applied`: something changed by it. `already`: as much or more is
 * known. `ignored`: of no consequence. Whoever cannot take it in now throws, and hears it again.
 */
export type NewsResult = 'applied' | 'already' | 'ignored'
