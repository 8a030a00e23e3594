// A small document store in memory, where the samples' manifests have MongoDB: one JSON request and
// one JSON answer per line of a TCP connection.
//
//   {"op":"put","in":"carts","doc":{"id":"7",...}}       -> {"docs":[]}       by its id, or a new
//   one
//   {"op":"find","in":"carts","where":{"owner":"x"}}     -> {"docs":[{...}]}  all that have the
//   values
//   {"op":"remove","in":"carts","where":{"id":"7"}}      -> {"removed":1}
//   anything else                                        -> {"error":"..."}
#pragma once

#include <map>
#include <string>
#include <vector>

#include "samples/stores/in_order.h"

namespace mizzen::samples {

class Documents {
 public:
  // The answer to one request. `where` compares members for equality; {} is all.
  Json answer(const Json& request);

 private:
  Json put(const Json& request);
  std::map<std::string, std::vector<Json>> collections_;
  std::size_t count_ = 0;
};

// Serves `documents`, which must outlive the server.
Result<std::unique_ptr<TcpServer>> serve_documents(io::Loop& loop, std::uint16_t port,
                                                   Documents& documents);

class DocumentClient {
 public:
  DocumentClient(io::Loop& loop, std::string host, std::uint16_t port);

  using Found = std::function<void(Result<std::vector<Json>>)>;
  using Stored = std::function<void(Status)>;
  void find(std::string_view collection, Json where, Found done);
  void put(std::string_view collection, Json document, Stored done);
  void remove(std::string_view collection, Json where, Stored done);

 private:
  void ask(const Json& request, InOrderClient::Done done);
  InOrderClient client_;
};

// One line of JSON from the front of `bytes`, as InOrderClient::Take; {"error":...} is an error.
std::optional<InOrderClient::Taken> take_json_line(std::string& bytes);

}  // namespace mizzen::samples
