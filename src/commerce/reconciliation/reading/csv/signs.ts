/** What a column of signs says: whether money came in or left. */
const DIRECTIONS: Record<string, 1 | -1> = {
  '+': 1,
  c: 1,
  cr: 1,
  crdt: 1,
  credit: 1,
  h: 1,
  haben: 1,
  bij: 1,
  haber: 1,
  abono: 1,
  avere: 1,
  credito: 1,
  '-': -1,
  d: -1,
  dr: -1,
  dbit: -1,
  debit: -1,
  s: -1,
  soll: -1,
  af: -1,
  debe: -1,
  cargo: -1,
  dare: -1,
  debito: -1,
  debet: -1,
}

/** 1 when money came in, -1 when it left; undefined when the text says neither. */
export const directionOf = (text: string): 1 | -1 | undefined =>
  DIRECTIONS[text.normalize('NFKD').toLowerCase().replace(/\p{M}/gu, '')]
