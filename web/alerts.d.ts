// Types of alerts.js; what things mean is in doc/ALERTS.md.
import type { Rowcast, RowEvent } from './rowcast.js';

export type AlertsState = 'granted' | 'denied' | 'default' | 'unsupported';

export interface Alert {
  title: string | number;
  body?: string | number;
  /** http: or https: only; relative to the page. */
  url?: string;
  /** Of the page's own origin, or an image as data:. */
  icon?: string;
  /** A newer alert of the same tag replaces an older one. */
  tag?: string;
  /** No sound and no vibration. */
  quiet?: boolean;
}

export interface AlertsOptions {
  /** Event types that raise alerts; '*' is all. Default: ['alert']. */
  types?: string | string[];
  /** What to show for a row; null: nothing. `alert` is what would be shown. */
  map?: (event: RowEvent, alert: Alert) => Alert | null | undefined;
  /** The service worker's file, or the registration of one that has taken it in. */
  worker?: string | URL | ServiceWorkerRegistration;
  /** Where toasts go; none without. */
  toasts?: Element | null;
  /** A different name for each database of this origin. */
  name?: string;
  /** At most so many in so many milliseconds; the others are counted in one. */
  flood?: { most: number; ms: number };
  /** In milliseconds: older rows raise none. Default: none of those that were there before the page. */
  maxAge?: number | null;
  /** What is shown for the others. */
  more?: (count: number) => Alert;
}

export interface PushOptions {
  /** Where rowcast is; default '/events'. */
  url?: string | URL;
  /** Channels or GLOB patterns. */
  channels?: string | string[];
  /** A signed ticket, or a function that gets one. */
  ticket?: string | null | (() => string | null | Promise<string | null>);
  /** Only while the user has no open stream. */
  absent?: boolean;
  /** Messages that the browser shows without the worker, where it can. */
  declarative?: boolean;
}

export class Alerts extends EventTarget {
  constructor(rows: Pick<Rowcast, 'on' | 'read'>, options?: AlertsOptions);
  readonly state: AlertsState;
  /** false: toasts instead of notifications. */
  enabled: boolean;
  /** Asks for permission. Only from a click or a key press. */
  ask(): Promise<AlertsState>;
  /** Has rows pushed to this browser, also while no page is open. Permission must have been given. */
  subscribe(options: PushOptions): Promise<PushSubscription>;
  /** Resolves to whether there was a subscription. */
  unsubscribe(options?: Pick<PushOptions, 'url' | 'ticket'>): Promise<boolean>;
  /** How many alerts that came to this page are not read yet, on whatever device. */
  readonly unread: number;
  /** The row, and those before it in its channel, are read; without an id: all of this page. */
  read(id?: string | number): Promise<void>;
  close(): void;
  addEventListener(type: 'unread', fn: (event: Event) => void, options?: AddEventListenerOptions | boolean): void;
  addEventListener(type: 'change', fn: (event: Event) => void, options?: AddEventListenerOptions | boolean): void;
  addEventListener(type: 'click', fn: (event: CustomEvent<{ id: string; url: string }>) => void,
    options?: AddEventListenerOptions | boolean): void;
}

export default Alerts;
