#include "samples/shop/sessions.h"

#include <deque>
#include <unordered_map>

#include "samples/stores/redis.h"

namespace mizzen::samples::shop {
namespace {

constexpr std::size_t kMost = 10'000;

class InMemory final : public Sessions {
 public:
  void load(const std::string& id, JsonDone done) override {
    auto found = sessions_.find(id);
    done(found == sessions_.end() ? Json::object() : found->second);
  }
  void save(const std::string& id, const Json& session, std::function<void(Status)> done) override {
    if (!sessions_.contains(id)) order_.push_back(id);
    sessions_[id] = session;
    if (order_.size() > kMost) {
      sessions_.erase(order_.front());
      order_.pop_front();
    }
    done({});
  }

 private:
  std::unordered_map<std::string, Json> sessions_;
  std::deque<std::string> order_;
};

class InRedis final : public Sessions {
 public:
  InRedis(io::Loop& loop, std::string host) : redis_(loop, std::move(host), 6379) {}

  void load(const std::string& id, JsonDone done) override {
    redis_.command({"GET", "sess:" + id}, [done = std::move(done)](const Result<Json>& value) {
      if (!value) return done(std::unexpected(value.error().in("session-db")));
      Json session = value->is_string()
                         ? Json::parse(value->get_ref<const std::string&>(), nullptr, false)
                         : Json();
      done(session.is_object() ? session : Json::object());
    });
  }
  void save(const std::string& id, const Json& session, std::function<void(Status)> done) override {
    redis_.command({"SET", "sess:" + id, session.dump(), "EX", "86400"},
                   [done = std::move(done)](const Result<Json>& answer) {
                     if (!answer) return done(std::unexpected(answer.error().in("session-db")));
                     done({});
                   });
  }

 private:
  RedisClient redis_;
};

}  // namespace

std::unique_ptr<Sessions> sessions_in_memory() { return std::make_unique<InMemory>(); }
std::unique_ptr<Sessions> sessions_in_redis(io::Loop& loop, std::string host) {
  return std::make_unique<InRedis>(loop, std::move(host));
}

}  // namespace mizzen::samples::shop
