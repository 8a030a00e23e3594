#include "samples/shop/page_assets.h"

namespace mizzen::samples::shop {
namespace {

constexpr std::string_view kStyle = R"(*{box-sizing:border-box}
body{margin:0;color:#23262b;background:#faf8f5;font:16px/1.5 "Inter","Segoe UI","DejaVu Sans",
  system-ui,sans-serif}
a{color:inherit;text-decoration:none}
h1{font-size:44px;line-height:1.1;margin:0 0 16px;letter-spacing:-.02em}
h2{font-size:26px;margin:0 0 20px;letter-spacing:-.01em}
h3{font-size:20px;margin:0 0 8px}
header{background:#fff;border-bottom:1px solid #e9e4dc;position:sticky;top:0;z-index:2}
.bar,main,footer{max-width:1120px;margin:0 auto;padding:0 24px}
.bar{display:flex;align-items:center;gap:36px;height:68px}
.logo{font-weight:800;font-size:23px;letter-spacing:-.03em}
.logo span{color:var(--accent)}
nav{display:flex;gap:24px;flex:1}
nav a{padding:6px 0;border-bottom:2px solid transparent}
nav a:hover,nav a.here{border-color:var(--accent)}
.who{display:flex;gap:14px;align-items:center}
#hello{color:#6d6a64;font-size:14px}
.button{display:inline-block;background:var(--accent);color:#fff;border:0;border-radius:8px;
  padding:12px 22px;font:inherit;font-weight:600;cursor:pointer}
.button:hover{background:var(--accent-dark)}
.button.small{padding:8px 14px;font-size:14px}
.button[disabled]{opacity:.45;cursor:default}
.quiet{background:none;border:0;font:inherit;cursor:pointer;color:#4a4842;padding:8px 4px}
.quiet:hover{color:var(--accent)}
section{margin:44px 0}
.hero{display:grid;grid-template-columns:1fr 1.15fr;gap:32px;align-items:center;
  background:#f1ebe2;border-radius:20px;padding:48px;margin-top:28px}
.hero p{color:#57534b;max-width:30em;margin:0 0 26px}
.pictures{display:grid;grid-template-columns:1fr 1fr 1fr;gap:12px}
.pictures img{width:100%;border-radius:14px}
.pictures img:nth-child(2){transform:translateY(22px)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:24px}
.card{background:#fff;border:1px solid #ece7df;border-radius:14px;overflow:hidden;display:flex;
  flex-direction:column}
.card img{width:100%;aspect-ratio:1;display:block}
.card .text{padding:16px 18px 18px;display:flex;flex-direction:column;gap:10px;flex:1}
.card .line{display:flex;justify-content:space-between;align-items:baseline;font-weight:600}
.card .text .button{margin-top:auto;text-align:center}
.price{color:var(--accent-dark);white-space:nowrap}
.split{display:grid;grid-template-columns:170px 1fr;gap:32px}
.split.wide{grid-template-columns:1fr 300px}
aside.card{padding:22px;align-self:start;gap:14px}
.tags{display:flex;flex-direction:column;gap:4px;margin-top:12px}
.tags label{display:flex;gap:8px;align-items:center;cursor:pointer}
.tags input,.row input{accent-color:var(--accent)}
.detail{display:grid;grid-template-columns:1fr 1fr;gap:48px;align-items:start}
.detail .pictures{grid-template-columns:1fr}
.detail .pictures img{transform:none;border:1px solid #ece7df}
.chips{display:flex;gap:8px;margin:18px 0}
.chips span{background:#efe9df;border-radius:20px;padding:3px 12px;font-size:14px}
table{border-collapse:collapse;width:100%;background:#fff;border:1px solid #ece7df;
  border-radius:14px;overflow:hidden}
td,th{padding:14px 16px;text-align:left;border-bottom:1px solid #f1ede6}
th{font-size:13px;color:#77736b;font-weight:600;background:#fbf9f6}
td img{width:56px;border-radius:8px;display:block}
td input{width:64px;padding:6px 8px;border:1px solid #d8d2c8;border-radius:6px;font:inherit}
dl{display:grid;grid-template-columns:1fr auto;gap:8px;margin:0}
dd{margin:0;text-align:right}
dl .total{font-weight:700;border-top:1px solid #ece7df;padding-top:8px}
.note{color:#6d6a64;font-size:14px;margin:0}
.note.bad{color:#b3261e}
.sorry{background:#fff;border:1px dashed #d8d2c8;border-radius:14px;padding:26px;color:#6d6a64;
  grid-column:1/-1}
.promises{display:grid;grid-template-columns:repeat(3,1fr);gap:24px}
.promises div{border-left:3px solid var(--accent);padding-left:16px;display:flex;
  flex-direction:column}
.promises span{color:#6d6a64}
footer{padding:32px 24px 48px;color:#87837a;font-size:14px}
dialog{border:0;border-radius:16px;padding:28px;width:360px;box-shadow:0 24px 70px #0003}
dialog:focus-visible{outline:0}
dialog::backdrop{background:#23262b66}
dialog label{display:block;margin:14px 0;font-size:14px;color:#57534b}
dialog input{display:block;width:100%;margin-top:4px;padding:10px 12px;border:1px solid #d8d2c8;
  border-radius:8px;font:inherit}
dialog input:focus{outline:2px solid var(--accent);border-color:transparent}
.row{display:flex;gap:14px;align-items:center;margin-top:16px}
@media(max-width:820px){.hero,.split,.split.wide,.detail,.promises{grid-template-columns:1fr}
  nav{display:none}h1{font-size:32px}}
)";

}  // namespace

std::string_view page_style() { return kStyle; }

}  // namespace mizzen::samples::shop
