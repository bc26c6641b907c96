// cursor.js - which rows a reader has: every row up to an id. All that keeps rows right is here.
//
// Rows travel as feeds: "these are all rows above `from` up to `to`", { era, from, to, rows, gap }.
// A cursor takes from a feed what is above it, and sees from `from` when something is missing
// between. So a feed that comes twice, late, or from two leaders at once does no harm. Ids are
// decimal numbers up to 2^53 - 1, as text.

const isReset = (gap) => gap !== null && gap.reason !== 'pruned';
const later = (id, other) => (Number(other ?? -1) > Number(id ?? -1) ? other : id);

// `id` null: not known yet. After a gap that is a reset ids begin again, perhaps lower; `era` counts
// those gaps, so that a feed of the time before is recognised.
export class Cursor {
  constructor(id = null, era = 0) {
    this.id = id;
    this.era = era;
  }

  // The feed that the server's page is for a reader that asked from here.
  feed({ last_event_id: id = null, gap = null, events = [] }) {
    const reset = isReset(gap);
    return {
      era: this.era + (reset ? 1 : 0),
      from: reset ? gap.resumed_at : this.id ?? '0',   // of the same ids as `to`
      to: [reset ? null : this.id, gap?.resumed_at, events.at(-1)?.id, id].reduce(later),
      rows: events,
      gap,
    };
  }

  // Moves over a feed; returns what of it is new, { rows, gap }. Or stays, and returns { missed }:
  // 'rows' (some before the feed's start), 'reset' (a gap), 'nothing' (the feed is old).
  take(feed) {
    const reset = isReset(feed.gap) && feed.era > this.era;
    if (feed.era < this.era)
      return { missed: 'nothing' };
    this.id ??= feed.from;
    if (!reset && feed.era > this.era)
      return { missed: 'reset' };
    if (!reset && Number(feed.from) > Number(this.id))
      return { missed: 'rows' };
    const start = Number(reset ? feed.gap.resumed_at : this.id);
    this.era = feed.era;
    if (reset || Number(feed.to) > start)
      this.id = feed.to;
    const hasNewGap = feed.gap !== null && (reset || Number(feed.gap.resumed_at) > start);
    return { rows: feed.rows.filter((row) => Number(row.id) > start), gap: hasNewGap ? feed.gap : null };
  }
}
