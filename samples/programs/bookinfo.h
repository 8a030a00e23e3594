// Bookinfo: a page about one book, put together by four services. Names, paths, ports and JSON are
// those of the well-known sample, so that its manifests and walkthroughs hold here; the code and
// the words are ours.
#pragma once

#include "samples/service.h"

namespace mizzen::samples {

class Documents;

// The page (v1). Calls DETAILS_HOSTNAME and REVIEWS_HOSTNAME (ports DETAILS_SERVICE_PORT, ...).
Handler productpage(Service& service);
// Facts about the book.
Handler details();
// Two reviews. `version` v1 has no stars, v2 black and v3 red ones, which it asks `ratings` for.
Handler reviews(Service& service, std::string version);
// Stars of each reviewer; keeps what is POSTed to /ratings/ID. SERVICE_VERSION may be
// v-unavailable, v-unhealthy, v-faulty or v-delayed, to play a broken service.
Handler ratings(Service& service);

// Ratings, version 2: the stars are in a database, MySQL when DB_TYPE is "mysql" (MYSQL_DB_HOST,
// MYSQL_DB_PORT, MYSQL_DB_USER, MYSQL_DB_PASSWORD), documents at MONGO_DB_URL otherwise.
Handler ratings_of_database(Service& service);
// What these databases hold at first.
std::string ratings_sql();
void seed_ratings(Documents& documents);

}  // namespace mizzen::samples
