#include "samples/stores/documents.h"

#include <fmt/format.h>

#include <algorithm>

namespace mizzen::samples {
namespace {

constexpr std::size_t kMostDocuments = 100'000;
constexpr std::size_t kLongestLine = 1024 * 1024;

bool has_all(const Json& document, const Json& where) {
  for (const auto& [name, value] : where.items()) {
    auto found = document.find(name);
    if (found == document.end() || *found != value) return false;
  }
  return true;
}

Json refused(std::string why) { return {{"error", std::move(why)}}; }

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

class DocumentConversation final : public Conversation {
 public:
  DocumentConversation(Wire& wire, Documents& documents) : wire_(wire), documents_(documents) {}
  void input(std::string& bytes) override {
    for (std::size_t end; (end = bytes.find('\n')) != bytes.npos;) {
      Json request = Json::parse(bytes.substr(0, end), nullptr, false);
      bytes.erase(0, end + 1);
      wire_.send(line_of(documents_.answer(request)));
    }
    if (bytes.size() <= kLongestLine) return;
    wire_.send(line_of(refused("a request is at most 1 MiB")));
    wire_.finish();
  }

 private:
  Wire& wire_;
  Documents& documents_;
};

}  // namespace

Json Documents::answer(const Json& request) {
  if (!request.is_object()) return refused("a request is a JSON object on one line");
  if (!request.contains("in") || !request["in"].is_string()) {
    return refused("\"in\" is missing: the name of a collection");
  }
  std::string op = request.contains("op") && request["op"].is_string() ? request["op"] : Json("");
  if (op == "put") return put(request);
  Json where = request.value("where", Json::object());
  if (!where.is_object()) return refused("\"where\" is an object of members and their values");
  std::vector<Json>& collection = collections_[request["in"].get<std::string>()];
  if (op == "find") {
    Json docs = Json::array();
    for (const Json& document : collection) {
      if (has_all(document, where)) docs.push_back(document);
    }
    return {{"docs", std::move(docs)}};
  }
  if (op == "remove") {
    std::size_t removed =
        std::erase_if(collection, [&where](const Json& one) { return has_all(one, where); });
    count_ -= removed;
    return {{"removed", removed}};
  }
  return refused("\"op\" is one of put, find, remove");
}

Json Documents::put(const Json& request) {
  if (!request.contains("doc") || !request["doc"].is_object() || !request["doc"].contains("id")) {
    return refused("\"doc\" is an object with an \"id\"");
  }
  const Json& document = request["doc"];
  std::vector<Json>& collection = collections_[request["in"].get<std::string>()];
  auto found = std::find_if(collection.begin(), collection.end(),
                            [&](const Json& one) { return one["id"] == document["id"]; });
  if (found != collection.end()) {
    *found = document;
    return {{"docs", Json::array()}};
  }
  if (count_ >= kMostDocuments) {
    return refused(fmt::format("the store is full: {} documents", kMostDocuments));
  }
  ++count_;
  collection.push_back(document);
  return {{"docs", Json::array()}};
}

Result<std::unique_ptr<TcpServer>> serve_documents(io::Loop& loop, std::uint16_t port,
                                                   Documents& documents) {
  return TcpServer::listen(loop, {port}, [&documents](Wire& wire) {
    return std::make_unique<DocumentConversation>(wire, documents);
  });
}

std::optional<InOrderClient::Taken> take_json_line(std::string& bytes) {
  std::size_t end = bytes.find('\n');
  if (end == bytes.npos) return std::nullopt;
  Json answer = Json::parse(bytes.substr(0, end), nullptr, false);
  bytes.erase(0, end + 1);
  if (!answer.is_object()) {
    return InOrderClient::Taken{fail(Code::kProtocol, "what came is not a JSON object"), true};
  }
  if (!answer.contains("error")) return InOrderClient::Taken{std::move(answer)};
  return InOrderClient::Taken{fail(Code::kInvalid, answer["error"].dump())};
}

DocumentClient::DocumentClient(io::Loop& loop, std::string host, std::uint16_t port)
    : client_(loop, std::move(host), port, take_json_line) {}

void DocumentClient::ask(const Json& request, InOrderClient::Done done) {
  client_.ask(line_of(request), std::move(done));
}

void DocumentClient::find(std::string_view collection, Json where, Found done) {
  ask({{"op", "find"}, {"in", collection}, {"where", std::move(where)}},
      [done = std::move(done)](const Result<Json>& answer) {
        if (!answer) return done(std::unexpected(answer.error()));
        std::vector<Json> docs;
        for (const Json& one : answer->value("docs", Json::array())) docs.push_back(one);
        done(std::move(docs));
      });
}

void DocumentClient::put(std::string_view collection, Json document, Stored done) {
  ask({{"op", "put"}, {"in", collection}, {"doc", std::move(document)}},
      [done = std::move(done)](const Result<Json>& answer) {
        done(answer ? Status() : std::unexpected(answer.error()));
      });
}

void DocumentClient::remove(std::string_view collection, Json where, Stored done) {
  ask({{"op", "remove"}, {"in", collection}, {"where", std::move(where)}},
      [done = std::move(done)](const Result<Json>& answer) {
        done(answer ? Status() : std::unexpected(answer.error()));
      });
}

}  // namespace mizzen::samples
