// Tables of routing rules as text: objects, requests and what must become of them (README.md).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "object/json.h"

namespace mizzen::sim {

using object::Json;

// One request or connection and what is expected of it, as it stands in the file.
struct Row {
  std::string name;  // "file: case: request"
  Json json;
  bool has(std::string_view key) const { return json.contains(key); }
  std::string text(std::string_view key, std::string_view fallback = {}) const;
};

struct Case {
  std::string name;  // "file: case"
  std::string from;  // "pod.namespace" of the proxy that routes
  std::vector<Json> objects;
  std::map<std::string, std::string> secrets;  // "namespace/name" to the host that it is for
  std::string refused;                         // part of the error when the objects are invalid
  std::string warned;                          // part of a warning of admission
  std::vector<Row> rows;
};

struct Table {
  std::vector<Json> world;  // Kubernetes objects that all cases share
  std::vector<Case> cases;
};

// An error names the case and what it lacks. "FILES/" in the text stands for files_folder().
Result<Table> read_table(const std::string& path);

// A folder with cert.pem, key.pem, ca.pem and crl.pem, for rules that name files; made by the first
// call, gone with the process.
const std::string& files_folder();

// The rows of all cases; a case that is refused or warned about is one row itself.
std::size_t count_rows(const Table& table);

// What a row asks: "GET https://a.example.com/x?y=1", "reviews:9080/x".
struct Ask {
  std::string method = "GET";
  bool tls = false;
  std::string host;       // without port
  std::string authority;  // as Host has it
  std::uint16_t port = 80;
  std::string path = "/";
};
Ask parse_ask(std::string_view text);

// "reviews", "reviews.ns:9080/v2" as the cluster's name (`port` where none is written); "nowhere"
// is none, and the name of a cluster stays.
std::string cluster_of(std::string_view text, std::uint16_t port);

}  // namespace mizzen::sim
