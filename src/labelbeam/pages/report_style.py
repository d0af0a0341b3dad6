"""The style of a report, beside those of every page, of inspections and of charts."""

STYLE = """
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .9rem; margin: 1rem 0; }
nav a { color: var(--bar); } section { scroll-margin-top: 1rem; }
dl.about { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .9rem; margin: 1rem 0; }
dl.about dt { color: var(--quiet); } dl.about dd { margin: 0; overflow-wrap: anywhere; }
p.warn { border-left: .3rem solid var(--second); background: var(--card); padding: .5rem .8rem; border-radius: .4rem; }
svg.learning-curve { width: calc(100% - 48px); margin: .5rem 0 0 44px; max-width: 46rem; }
svg.learning-curve circle { stroke: none; } .learning { fill: none; stroke-width: 2;
  vector-effect: non-scaling-stroke; } .l0 { stroke: var(--bar); } .l1 { stroke: var(--second); stroke-dasharray: 6 3; }
.l2 { stroke: var(--third); stroke-dasharray: 2 3; } .l3 { stroke: var(--fourth); }
.best { stroke: var(--quiet); stroke-dasharray: 3 3; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem 2.5rem;
  align-items: start; } .side > div { min-width: 0; }
.marks { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; margin: .4rem 0; }
.marks i { display: inline-block; width: .6rem; height: .6rem; background: var(--bar); margin-right: .4rem; }
.marks i.disc { border-radius: 50%; } .marks i.two { background: var(--second); }
.pairs { font-size: .875rem; } table.named td:first-child { white-space: normal; overflow-wrap: anywhere;
  min-width: 7rem; } table { font-size: .9rem; }
.shown { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 1rem 0; }
.shown { display: flex; flex-wrap: wrap; gap: 1rem; } .shown > * { min-width: 0; max-width: 100%; }
ul.quiet { font-size: .9rem; padding-left: 1.2rem; max-width: 52rem; overflow-wrap: anywhere; }
.shown .head { flex: 1 1 34rem; min-width: min(37rem, 100%); }
.shown .head { display: grid; grid-template-columns: minmax(8rem, 14rem) minmax(0, 1fr); gap: 1.2rem; }
.shown .head > img { width: 100%; border-radius: .4rem; } .shown .head > div { min-width: 0; }
.shown .why { font-size: .75rem; border: 1px solid currentcolor; border-radius: 1rem; padding: .02rem .6rem;
  font-weight: 600; } .shown .why.worst { color: var(--bad); }
.tags { display: grid; gap: .15rem; font-size: .85rem; margin: .5rem 0; max-width: 34rem; }
.tags > div { display: grid; grid-template-columns: minmax(6rem, 9rem) minmax(3rem, 1fr) 6.4rem 4.4rem; gap: .6rem;
  align-items: center; } .tags b { font-weight: 400; overflow-wrap: anywhere; } .tags .decided b { font-weight: 700; }
.tags span { font-variant-numeric: tabular-nums; white-space: nowrap; font-size: .8rem; }
.tags svg { display: block; } .tags .reach { fill: var(--bar); opacity: .35; }
.tags em { font-style: normal; font-size: .78rem; }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(7.5rem, 9.5rem); gap: .8rem;
  overflow-x: auto; }
.strip.two { grid-template-rows: auto auto; }
.shown .maps p { margin: .3rem 0 0; font-size: .8rem; }
.strip img { aspect-ratio: 1; object-fit: cover; }
.errors { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .9rem; }
.errors figcaption b { font-weight: 650; }
.tree-box { overflow-x: auto; padding-bottom: .5rem; }
@media (max-width: 40rem) { .forest .head { font-size: .7rem; }
  .shown .head { grid-template-columns: 1fr; } .shown .head > img { max-height: 16rem;
  object-fit: contain; object-position: left; } .tags > div { grid-template-columns: 6.5rem 1fr 2.2rem 3.8rem; }
  .tags .bounds { display: none; }
  dl.about { grid-template-columns: 1fr; gap: 0; } dl.about dd { margin-bottom: .4rem; }
  svg.chart.rows { width: calc(100% - 142px); margin-left: 136px; }
  .errors { grid-template-columns: 1fr 1fr; } }
"""
