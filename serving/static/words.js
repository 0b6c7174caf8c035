// Numbers, dates and feature names as an analyst reads them.

const NBSP = "\u00a0";

export const percent = (p) => (p > 0 && p < 0.001 ? `< 0.1${NBSP}%` : p < 1 && p > 0.999 ? `> 99.9${NBSP}%` : `${(p * 100).toFixed(1)}${NBSP}%`);
export const round = (p) => `${+(p * 100).toFixed(1)}${NBSP}%`;
export const whole = (n) => n.toLocaleString("en-US");
export const money = (n) => {
  const digits = Math.abs(n) < 1000 ? 1 : 0;
  const text = Math.abs(n).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return n < 0 && /[1-9]/.test(text) ? `−${text}` : text;
};
export const day = (iso) => new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
export const moment = (iso) => new Date(iso).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
export const plural = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const LABELS = {
  thumbs_up_count: "Thumbs up", thumbs_down_count: "Thumbs down", is_paid_user: "Plan",
  add_playlist_count: "Added to playlists", add_friend_count: "Friends added",
  time_since_last_activity: "Last seen", days_since_registration: "Registered for",
};

export const title = (name) => {
  const windowed = name.replace(/^avg_/, "average_").replace(/_(\d+)d$/, " ($1 days)");
  return LABELS[name] ?? capital(windowed.replaceAll("_", " "));
};
