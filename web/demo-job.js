// demo-job.js - a long job that reports where it is, as a progress bar.
//
// Rows: channel demo.job, collapse_key the job's name. Event progress:
// data {"job":"import 3","done":40,"of":120,"step":"Reading customers"}; event done: {"job":"import 3"}.
// A screen reader hears the quarters; the bar itself it can be asked for at any time.
import { $, objectOf, say } from './demo-page.js';

let job = '';
let quarter = 0;

export function setUpJob(streams, url) {
  streams.open('job', url, { channels: ['demo.job'], storage: null, last: 1 }, (rows) => {
    rows.on('progress', (row) => progress(objectOf(row)));
    rows.on('done', (row) => done(objectOf(row)));
  });
}

function begin(name) {
  job = name;
  quarter = 0;
  $('job-empty').hidden = true;
  $('job').hidden = false;
  $('job-name').textContent = name;
}

function progress({ job: name, done: part, of, step }) {
  if (typeof name !== 'string' || !(of > 0) || !(part >= 0))
    return;
  if (name !== job)
    begin(name);
  $('job-bar').max = of;
  $('job-bar').value = Math.min(part, of);
  $('job-count').textContent = `${part} of ${of}`;
  $('job-step').textContent = String(step ?? '');
  $('job').dataset.done = 'false';
  const now = Math.floor(part / of * 4);
  if (now > quarter && now < 4)
    say(`${name}: ${now * 25} percent.`);
  quarter = now;
}

function done({ job: name }) {
  if (typeof name !== 'string')
    return;
  if (name !== job)
    begin(name);
  $('job-bar').value = $('job-bar').max;
  $('job-count').textContent = 'done';
  $('job-step').textContent = 'Finished';
  $('job').dataset.done = 'true';
  say(`${name}: done.`);
}
