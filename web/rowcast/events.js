// events.js - the events that a page hears.

// node 18 has no CustomEvent.
export const DetailEvent = globalThis.CustomEvent ?? class extends Event {
  constructor(type, { detail }) {
    super(type);
    this.detail = detail;
  }
};

// A row, as an event of its type. isHistory: it was there before the page (since, last).
export class RowEvent extends MessageEvent {
  constructor(row, isHistory = false) {
    super(row.event, { data: row.data, lastEventId: row.id });
    this.channel = row.channel;
    this.createdAt = row.created_at ?? null;
    this.isHistory = isHistory;
  }

  json() {
    return JSON.parse(this.data);
  }
}
