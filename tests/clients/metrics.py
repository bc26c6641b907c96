#!/usr/bin/env python3
"""Reads Prometheus text on stdin with Prometheus' own parser and checks its form.

    metrics.py                     prints each sample: NAME{label="value"} VALUE
    metrics.py --grown EARLIER     also: no counter, bucket or sum is below that earlier output

Every family must have HELP and TYPE, be of rowcast_, and occur once; histograms must be cumulative
and end with +Inf and the count."""

import sys

from prometheus_client.parser import text_string_to_metric_families


def label_text(labels):
    return "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}" if labels else ""


def check_histogram(family):
    buckets = [(float(s.labels["le"]), s.value) for s in family.samples
               if s.name.endswith("_bucket")]
    counts = [s.value for s in family.samples if s.name.endswith("_count")]
    assert buckets == sorted(buckets), f"{family.name}: not cumulative"
    assert [v for _, v in buckets] == sorted(v for _, v in buckets), family.name
    assert buckets[-1][0] == float("inf") and counts == [buckets[-1][1]], family.name


def main():
    text = sys.stdin.read()
    lines = text.splitlines()
    samples, growing, seen = {}, set(), set()
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("rowcast_"), family.name
        assert family.name not in seen, f"{family.name} twice"
        seen.add(family.name)
        assert family.documentation, f"{family.name}: no HELP"
        assert family.type in ("counter", "gauge", "histogram"), f"{family.name}: {family.type}"
        if family.type == "histogram":
            check_histogram(family)
        for sample in family.samples:
            key = sample.name + label_text(sample.labels)
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
            if family.type != "gauge":
                growing.add(key)
    assert len(seen) == sum(line.startswith("# TYPE ") for line in lines) > 10
    if len(sys.argv) > 2:
        for line in open(sys.argv[2]):
            key, value = line.rsplit(" ", 1)
            # A channel whose last stream has ended is not listed any more; all else stays.
            if key.startswith("rowcast_channel_streams{") and key not in samples:
                continue
            assert key in samples, f"{key} is gone"
            if key in growing:
                assert samples[key] >= float(value), f"{key}: {samples[key]} after {value.strip()}"
    for key, value in samples.items():
        print(key, f"{value:.17g}")


if __name__ == "__main__":
    main()
