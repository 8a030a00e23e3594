// What the services of the sock shop share: the pages that each of them has, JSON in and out, and
// calls to each other.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "samples/service.h"

namespace mizzen::samples::shop {

using Json = nlohmann::ordered_json;

// What a service is to the outside: its name, and whether what it stands on is there (told to
// `done`; nothing to check when empty).
struct About {
  std::string name;
  std::string store;  // name of the store that `check` asks; "" for none
  std::function<void(std::function<void(Status)> done)> check;
};

// `routes` with /health and /metrics before them, each request counted and written to standard
// output (those of probes apart).
Handler with_usual_pages(About about, Handler routes);

// "/carts/7/items" -> {"carts", "7", "items"}.
std::vector<std::string_view> segments(std::string_view path);

Reply json_reply(int status, const Json& body);
Reply failure(int status, std::string_view message);  // {"error": message, "status_code": status}
Reply not_found(const Call& call);

// The request's body as a JSON object; an error that says what is missing.
Result<Json> object_of(const Call& call);
std::string text_of(const Json& object, const char* name);  // "" when absent; numbers as text
double number_of(const Json& object, const char* name);     // 0 when absent

using JsonDone = std::function<void(Result<Json>)>;
// Sends `request` with the trace headers of `call`; an answer other than 2xx is an error.
void ask_json(Service& service, const Call& call, Outgoing request, JsonDone done);
// The status with which a caller is told that `error` came from behind.
int status_of(const Error& error);

// Where a store is: "host:port" of the environment's `name`, or `otherwise`.
std::pair<std::string, std::uint16_t> place_of(const char* name, std::string_view otherwise);

std::string new_id();  // 24 hexadecimal digits

}  // namespace mizzen::samples::shop
