"""The style of the page of an inspection, beside the one of every page."""

STYLE = """
h1 { letter-spacing: -.01em; } h2 { border-top: 1px solid var(--line); padding-top: 1.6rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; } section p.quiet { font-size: .9rem; }
code { font-size: .85em; overflow-wrap: anywhere; color: var(--quiet); }
ul.specs { list-style: none; margin: 0 0 1.2rem; padding: 0; } ul.specs b { margin-right: .3rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .7rem; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--quiet); font-size: .82rem; }
ul.findings { list-style: none; padding: 0; display: grid; gap: .45rem; max-width: 52rem; }
ul.findings li { background: var(--card); border: 1px solid var(--line); border-left: .3rem solid var(--second);
  border-radius: .4rem; } ul.findings li.bad { border-left-color: var(--bad); }
ul.findings a { display: block; padding: .5rem .8rem; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
ul.findings a:hover { background: var(--rail); }
svg text { font-size: 12px; fill: var(--ink); }
svg text.quiet { fill: var(--quiet); } svg .axis { stroke: var(--line); stroke-width: 1; }
.s0 { fill: var(--bar); background: var(--bar); } .s1 { fill: var(--second); background: var(--second); }
.s2 { fill: var(--third); background: var(--third); } .s3 { fill: var(--fourth); background: var(--fourth); }
.rail { fill: var(--rail); } .faint { fill: color-mix(in srgb, var(--bar) 35%, transparent); }
.curve .line { fill: none; stroke: var(--bar); stroke-width: 2; vector-effect: non-scaling-stroke; }
.curve { border-bottom: 1px solid var(--line); } .curve .axis { vector-effect: non-scaling-stroke; }
svg.columns { max-width: 46rem; display: block; } svg { overflow: visible; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; margin: .4rem 0; max-width: none; }
.key { display: inline-block; width: .75rem; height: .75rem; border-radius: .2rem; margin-right: .4rem; }
.key.together { background: var(--together); } .key.apart { background: var(--apart); }
.bars { columns: 2 22rem; column-gap: 2.5rem; font-size: .875rem; }
.bars > div { display: grid; grid-template-columns: 8.5rem 1fr 4rem; align-items: center; gap: .6rem;
  break-inside: avoid; padding: .1rem 0; }
.bars span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bars b { text-align: right; font-weight: 400; color: var(--quiet); font-variant-numeric: tabular-nums; }
.forest { font-size: .875rem; margin: 1rem 0 1.6rem; max-width: 56rem; }
.forest > div { display: grid; grid-template-columns: minmax(9rem, 16rem) 1fr 4.2rem 4.6rem 4rem; gap: .7rem;
  align-items: center; padding: .28rem 0; border-bottom: 1px solid var(--line); }
.forest .head { color: var(--quiet); font-size: .8rem; } .forest .head span:first-child { color: var(--ink);
  font-weight: 650; font-size: 1rem; } .forest .scale { display: flex;
  justify-content: space-between; }
.forest span { overflow-wrap: anywhere; } .forest i { font-style: normal; }
.forest b, .forest em, .forest .head span:nth-child(n+3) { text-align: right; font-style: normal;
  font-variant-numeric: tabular-nums; } .forest em { color: var(--quiet); }
.interval .span { stroke-width: 2.5; stroke-linecap: round; } .interval .axis { stroke: var(--quiet); opacity: .6; }
.interval.together .span { stroke: var(--together); } .interval.apart .span { stroke: var(--apart); }
.interval.together circle { fill: var(--together); } .interval.apart circle { fill: var(--apart); }
.matrix .together { fill: var(--together); } .matrix .apart { fill: var(--apart); } .matrix .none { fill: var(--rail); }
.words td { white-space: normal; text-align: left; vertical-align: top; min-width: 6rem; }
.words th { text-align: left; }
details { margin: .6rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
ul.files { columns: 2 16rem; font-size: .85rem; } ul.files li { overflow-wrap: anywhere; }
small { color: var(--quiet); }
.groups { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1rem; }
.group { padding: .7rem .8rem; } .group > div { padding: 0; }
.badges { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 .6rem; font-size: .75rem; }
.badges b { font-weight: 600; border: 1px solid currentcolor; border-radius: 1rem; padding: .02rem .6rem; }
.copies { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .7rem; }
figure { margin: 0; } figure img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: var(--rail);
  border-radius: .35rem; display: block; }
figcaption { display: grid; margin-top: .35rem; font-size: .78rem; line-height: 1.35; }
figcaption b, figcaption span { overflow-wrap: anywhere; font-weight: 400; } figcaption b { font-weight: 600; }
@media (max-width: 40rem) { body { padding: 1.2rem 1rem 3rem; } th, td { padding: .3rem .5rem; font-size: .85rem; }
  .bars > div { grid-template-columns: 7rem 1fr 3.4rem; }
  .forest > div { grid-template-columns: 1fr 3.2rem 3.6rem 3rem; gap: .1rem .5rem; }
  .forest > div > svg { grid-row: 2; grid-column: 1 / -1; } .forest .head span:nth-child(2) { display: none; } }
"""
