#include "samples/shop/page_assets.h"

namespace mizzen::samples::shop {
namespace {

constexpr std::string_view kScript = R"js('use strict';
const at = (id) => document.getElementById(id);
const money = (n) => '$' + Number(n).toFixed(2);
const text = (s) => { const d = document.createElement('div'); d.textContent = s;
    return d.innerHTML; };
async function api(path, method = 'GET', body) {
  const answer = await fetch(path, {method, credentials: 'same-origin',
    headers: body ? {'content-type': 'application/json'} :
    {}, body: body && JSON.stringify(body)});
  if (!answer.ok) throw new Error(method + ' ' + path + ': ' + answer.status);
  return (answer.headers.get('content-type') || '').includes('json') ? answer.json() :
    answer.text();
}
const sorry = (what, error) =>
  '<div class="sorry"><b>' + what + ' could not be loaded.</b><br>' + text(error.message) +
    '</div>';
const card = (p) => '<article class="card"><a href="/detail.html?id=' + p.id + '"><img alt="' +
    text(p.name) +
  '" src="' + p.imageUrl[0] +
    '"></a><div class="text"><div class="line"><a href="/detail.html?id=' + p.id + '">' +
  text(p.name) + '</a><span class="price">' + money(p.price) + '</span></div>' +
  '<button class="button small" data-add="' + p.id + '">Add to basket</button></div></article>';

async function showProducts(place, tags) {
  try {
    const products = await api('/catalogue' + (tags.length ? '?tags=' + tags.join(',') : ''));
    const most = Number(place.dataset.products) || products.length;
    place.innerHTML = products.slice(0, most).map(card).join('') ||
      '<div class="sorry">No sock is all of that.</div>';
  } catch (error) { place.innerHTML = sorry('The catalogue', error); }
}
async function showTags(place, grid) {
  try {
    const tags = (await api('/tags')).tags;
    place.innerHTML = tags.map((t) => '<label><input type="checkbox" value="' + t + '">' + t +
    '</label>').join('');
    place.onchange = () => showProducts(grid,
    [...place.querySelectorAll(':checked')].map((b) => b.value));
  } catch (error) { place.textContent = 'not there right now'; }
}
async function showDetail(place) {
  try {
    const p = await api('/catalogue/' +
    encodeURIComponent(new URLSearchParams(location.search).get('id')));
    place.innerHTML = '<div class="pictures"><img alt="" src="' + p.imageUrl[0] +
    '"><img alt="" src="' +
      p.imageUrl[1] + '"></div><div><h1>' + text(p.name) + '</h1><p>' + text(p.description) +
      '</p><div class="chips">' + p.tag.map((t) => '<span>' + t + '</span>').join('') +
      '</div><p><b class="price">' + money(p.price) + '</b> &middot; ' + p.count +
      ' in stock</p><button class="button" data-add="' + p.id + '">Add to basket</button></div>';
  } catch (error) { place.innerHTML = sorry('This sock', error); }
}
async function showBasket(place) {
  try {
    const items = await api('/cart');
    const products = await Promise.all(items.map((i) => api('/catalogue/' + i.itemId)));
    place.innerHTML = items.length === 0 ? '<div class="sorry">Nothing in it yet.</div>' :
      '<table><tr><th></th><th>Sock</th><th>Pairs</th>' +
      '<th>Each</th><th>Together</th><th></th></tr>' +
      items.map((i, n) => '<tr><td><img alt="" src="' + products[n].imageUrl[0] + '"></td><td>' +
        text(products[n].name) + '</td><td><input type="number" min="1" value="' + i.quantity +
        '" data-pairs="' + i.itemId + '"></td><td>' + money(i.unitPrice) + '</td><td>' +
        money(i.unitPrice * i.quantity) + '</td><td><button class="quiet" data-drop="' +
    i.itemId +
        '">Remove</button></td></tr>').join('') + '</table>';
    const goods = items.reduce((sum, i) => sum + i.unitPrice * i.quantity, 0);
    at('sum').innerHTML = '<dt>Socks</dt><dd>' + money(goods) + '</dd><dt>Post</dt><dd>' +
      money(items.length ? 4.99 : 0) + '</dd><dt class="total">Together</dt><dd class="total">' +
      money(items.length ? goods + 4.99 : 0) + '</dd>';
    at('order').disabled = items.length === 0;
  } catch (error) { place.innerHTML = sorry('The basket', error); }
}
async function showOrders(place) {
  try {
    const orders = await api('/orders');
    place.innerHTML = orders.length === 0 ? '<div class="sorry">No orders yet.</div>' :
      '<table><tr><th>Order</th><th>Date</th><th>Pairs</th><th>Total</th><th>Status</th></tr>' +
      orders.map((o) => '<tr><td># ' + o.id.slice(0, 8) + '</td><td>' +
        new Date(o.date).toLocaleString() + '</td><td>' +
        o.items.reduce((n, i) => n + i.quantity, 0) + '</td><td>' + money(o.total) +
        '</td><td>' + (o.shipment && o.shipment.id ? 'Shipped' : 'Paid') +
    '</td></tr>').join('') + '</table>';
  } catch (error) {
    place.innerHTML = '<div class="sorry">Sign in to see your orders.</div>';
  }
}
async function showWho() {
  const name = decodeURIComponent((document.cookie.match(/shop_user=([^;]*)/) || [])[1] || '');
  at('hello').textContent = name ? 'Hello, ' + name : '';
  at('sign-in').hidden = !!name;
  at('sign-out').hidden = !name;
  try {
    at('count').textContent = (await api('/cart')).reduce((n, i) => n + i.quantity, 0);
  } catch (error) { at('count').textContent = '?'; }
}
document.addEventListener('click', async (event) => {
  const {add, drop} = event.target.dataset;
  if (!add && !drop) return;
  event.target.disabled = true;
  try {
    if (add) await api('/cart', 'POST', {id: add});
    if (drop) await api('/cart/' + drop, 'DELETE');
  } catch (error) { alert(error.message); }
  event.target.disabled = false;
  if (drop) showBasket(at('basket'));
  showWho();
});
document.addEventListener('change', async (event) => {
  const item = event.target.dataset.pairs;
  if (!item) return;
  await api('/cart/update', 'POST', {id: item, quantity: Number(event.target.value)});
  showBasket(at('basket'));
  showWho();
});
async function signIn(event) {
  event.preventDefault();
  const pair = btoa(at('username').value + ':' + at('password').value);
  const answer = await fetch('/login', {headers: {authorization: 'Basic ' + pair}});
  if (answer.ok) return location.reload();
  at('login-note').className = 'note bad';
  at('login-note').textContent = answer.status === 401 ? 'That name and password do not match.' :
    'Signing in does not work right now (' + answer.status + ').';
}
async function placeOrder() {
  const note = at('order-note');
  try {
    await api('/orders', 'POST', {});
    await api('/cart', 'DELETE');
    location.href = '/customer-orders.html';
  } catch (error) {
    note.className = 'note bad';
    note.textContent = error.message.endsWith('401') ? 'Sign in first.' :
      error.message.endsWith('406') ? 'The payment was declined: orders go up to $105.00.' :
    error.message;
  }
}
at('sign-in').onclick = () => at('login').showModal();
at('login-close').onclick = () => at('login').close();
at('sign-out').onclick = async () => { await fetch('/logout'); location.reload(); };
at('login-form').onsubmit = signIn;
if (location.hash === '#login') at('login').showModal();
for (const link of document.querySelectorAll('nav a')) {
  if (link.getAttribute('href') === location.pathname) link.className = 'here';
}
const grid = document.querySelector('[data-products]');
if (grid) showProducts(grid, []);
if (at('tags')) showTags(at('tags'), grid);
if (at('detail')) showDetail(at('detail'));
if (at('basket')) { showBasket(at('basket')); at('order').onclick = placeOrder; }
if (at('orders')) showOrders(at('orders'));
showWho();
)js";

}  // namespace

std::string_view page_script() { return kScript; }

}  // namespace mizzen::samples::shop
