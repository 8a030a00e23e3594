// For tests that answer some of a client's calls: all others are refused, a turn of the loop later.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "kube/client.h"

namespace mizzen::kube {

class PartialClient : public Client {
 public:
  // `loop` must outlive this.
  explicit PartialClient(io::Loop& loop) : loop_(loop) {}

  void get(const Resource&, std::string_view, std::string_view, Done done) override {
    refuse(done);
  }
  void list(const Resource&, const ListOptions&, ListDone done) override { refuse(done); }
  void create(const Resource&, std::string_view, const Json&, Done done, std::string_view,
              std::string_view) override {
    refuse(done);
  }
  void update(const Resource&, const Json&, Done done, std::string_view) override { refuse(done); }
  void patch(const Resource&, std::string_view, std::string_view, PatchType, const Json&, Done done,
             std::string_view, std::string_view) override {
    refuse(done);
  }
  void remove(const Resource&, std::string_view, std::string_view, Done done,
              const Json&) override {
    refuse(done);
  }
  void review_token(std::string_view, const std::vector<std::string>&,
                    std::function<void(Result<TokenOwner>)> done) override {
    refuse(done);
  }
  void request(std::string_view, std::string_view, std::string_view, std::string_view,
               std::function<void(Result<Raw>)> done) override {
    refuse(done);
  }
  std::unique_ptr<Watch> watch(const Resource&, const ListOptions&, std::string_view,
                               std::function<void(WatchEvent)>,
                               std::function<void(Status)>) override {
    return nullptr;
  }
  io::Loop& loop() const override { return loop_; }
  const Config& config() const override { return config_; }

 private:
  template <class Called>
  void refuse(const Called& done) {
    loop_.defer([done] { done(fail(Code::kUnsupported, "not in this test")); });
  }
  io::Loop& loop_;
  Config config_;
};

}  // namespace mizzen::kube
