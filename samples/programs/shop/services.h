// The sock shop: one handler per service, with the paths of the well-known demo's services. What
// each stands on is found by its service name (`catalogue-db`, `carts-db`, ...), or at "host:port"
// of the environment: CATALOGUE_DB, CARTS_DB, ORDERS_DB, `mongo` for users, RABBITMQ.
#pragma once

#include <string>

#include "samples/service.h"

namespace mizzen::samples {
class Documents;
}

namespace mizzen::samples::shop {

// Pages and the JSON API behind them. Version "v1" has blue buttons, "v2" red ones. Sessions are
// kept in Redis at session-db when SESSION_REDIS is "true", in memory otherwise.
Handler front_end(Service& service, const std::string& version);
// /catalogue, /catalogue/size, /catalogue/{id}, /catalogue/images/{name}, /tags; on MySQL.
Handler catalogue(Service& service);
// /carts/{customer}, /carts/{customer}/items, /carts/{customer}/merge; on documents.
Handler carts(Service& service);
// POST /orders, GET /orders/{id}, /orders/search/customerId?custId=; on documents.
Handler orders(Service& service);
// POST /paymentAuth: takes amounts up to PAYMENT_DECLINE_OVER (105).
Handler payment();
// POST /shipping: into the queue `shipping-task`.
Handler shipping(Service& service);
// /login, /register, /customers, /addresses, /cards; on documents.
Handler user(Service& service);
// Takes `shipping-task` from the queue; /shipped tells how many.
Handler queue_master(Service& service);

// The first statements of catalogue-db, and the first documents of user-db.
std::string catalogue_sql();
void seed_users(Documents& documents);

}  // namespace mizzen::samples::shop
