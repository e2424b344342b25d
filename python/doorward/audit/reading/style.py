"""How the page looks, by day and by night."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--back:#f5f6f8;--ink:#1c2430;--soft:#66707f;--rule:#e3e6ea;
--good:#3b7dd8;--failed:#e0a21b;--bad:#d2453a;--high:#8d5bd1;--middle:#1d9a83;
--auth:#7a4fc0;--scope:#e08a3c;--policy:#4b5666;--rate:#d2453a}
@media(prefers-color-scheme:dark){:root{--paper:#181d25;--back:#10141a;--ink:#e4e8ee;--soft:#97a2b1;--rule:#2b323d;
--good:#5e9bee;--failed:#e6b34a;--bad:#ea6a5f;--high:#ad84e6;--middle:#41bfa6;
--auth:#a98be6;--scope:#eaa765;--policy:#8c98a9;--rate:#ea6a5f}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 20px 56px}
h1{font-size:26px;margin:0}h2{font-size:17px;margin:0 0 10px}h3{font-size:15px;margin:0}
header p{color:var(--soft);margin:4px 0 20px}
section{background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:18px 20px;margin:0 0 18px}
section>p{color:var(--soft);margin:0 0 10px}
.cards{display:flex;flex-wrap:wrap;gap:14px;background:none;border:0;padding:0}
.card{flex:1 1 150px;background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:14px 16px}
.card .name,.card .note{color:var(--soft);font-size:13px;min-height:1.5em}
.card .value{font-size:25px;font-weight:600;line-height:1.3;font-variant-numeric:tabular-nums}
figure{margin:0 0 22px}figure:last-child{margin:0}
figcaption{display:flex;justify-content:space-between;align-items:baseline;gap:12px;margin-bottom:6px}
.key{font-size:13px;color:var(--soft);margin-left:16px}
.key::before{content:"";display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px;background:var(--c)}
.good{--c:var(--good)}.failed{--c:var(--failed)}.bad{--c:var(--bad)}.high{--c:var(--high)}.middle{--c:var(--middle)}
.auth{--c:var(--auth)}.scope{--c:var(--scope)}.policy{--c:var(--policy)}.rate{--c:var(--rate)}
svg{display:block;width:100%;height:auto}
svg text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}
.grid{stroke:var(--rule)}.axis{stroke:var(--soft)}
.bar{fill:var(--c)}.line{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.hint{fill:var(--ink);fill-opacity:0}.hint:hover{fill-opacity:.07}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:var(--soft);font-size:12.5px;vertical-align:bottom}
th,td{padding:6px 8px;border-bottom:1px solid var(--rule)}td{white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
.number{text-align:right}.alarm{color:var(--bad);font-weight:600}
.name{max-width:280px;overflow:hidden;text-overflow:ellipsis}
.hash{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;overflow-wrap:anywhere;white-space:normal}
.results td:first-child{width:150px}.results td:nth-child(2){width:110px}
.chip{font-size:13px}.chip::before{content:"";display:inline-block;width:9px;height:9px;border-radius:50%;
margin-right:8px;background:var(--c)}
.track{height:8px;border-radius:4px;background:var(--rule);overflow:hidden}.track.small{height:3px;margin-top:3px}
.fill{height:100%;background:var(--c)}
footer{color:var(--soft);font-size:13px}
@media print{body{background:none}section{break-inside:avoid}}
"""
