// How fast an answer came, out of its times and its usage.

/**
 * What can be said of an answer; null for what is not known.
 *
 * Tokens a second are those after the first over the time that they took. Where all came in one piece, as from a model
 * that does not stream, they are all of them over the whole time.
 * @returns {{firstMs: ?number, totalMs: ?number, sent: ?number, written: ?number, perSecond: ?number}}
 */
export function measure({ times, usage }) {
  const written = usage?.completion_tokens ?? null;
  return {
    firstMs: times.first,
    totalMs: times.end,
    sent: usage?.prompt_tokens ?? null,
    written,
    perSecond: written === null ? null : speed(written, times),
  };
}

function speed(written, { first, last, end }) {
  if (first === null || end === null || written === 0) return null;
  const took = last - first;
  return took > 1 && written > 1 ? ((written - 1) / took) * 1000 : (written / Math.max(end, 1)) * 1000;
}
