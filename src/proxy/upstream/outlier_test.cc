#include "proxy/upstream/outlier.h"

#include <gtest/gtest.h>

namespace mizzen::proxy::upstream {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class OutlierTest : public ::testing::Test {
 protected:
  OutlierTest() {
    for (std::uint16_t i = 1; i <= 10; ++i) {
      hosts_.push_back(health_.host(io::Address::loopback(i)));
    }
    rules_.enforcing_success_rate = 0;
    rules_.enforcing_local_origin_success_rate = 0;
  }
  // The cause after `times` outcomes of one kind.
  std::optional<EjectionCause> report(std::size_t host, Outcome outcome, int times = 1) {
    std::optional<EjectionCause> cause;
    for (int i = 0; i < times; ++i) cause = health_.count(rules_, *hosts_[host], outcome);
    return cause;
  }
  bool eject(std::size_t host, EjectionCause cause = EjectionCause::kConsecutive5xx,
             std::uint64_t random = 0) {
    return health_.eject(rules_, *hosts_[host], cause, hosts_.size(), now_, random);
  }
  void sweep() {
    now_ += rules_.interval;
    health_.sweep(rules_, hosts_.size(), now_, 0);
  }

  ClusterHealth health_;
  OutlierDetection rules_;
  std::vector<std::shared_ptr<HostHealth>> hosts_;
  MonoTime now_{seconds(1000)};
};

TEST_F(OutlierTest, Consecutive) {
  EXPECT_FALSE(report(0, Outcome::k5xx, 4));
  EXPECT_FALSE(report(0, Outcome::kSuccess));
  EXPECT_FALSE(report(0, Outcome::k5xx, 4));
  EXPECT_EQ(report(0, Outcome::k5xx), EjectionCause::kConsecutive5xx);
  // A gateway error is a 5xx too; another 5xx is none.
  rules_.enforcing_consecutive_gateway_failure = 100;
  EXPECT_FALSE(report(1, Outcome::kGatewayError, 4));
  EXPECT_FALSE(report(2, Outcome::kGatewayError, 3));
  EXPECT_FALSE(report(2, Outcome::k5xx));
  EXPECT_EQ(report(2, Outcome::kGatewayError), EjectionCause::kConsecutive5xx);
  EXPECT_EQ(report(1, Outcome::kGatewayError), EjectionCause::kConsecutiveGateway);
}

TEST_F(OutlierTest, LocalOriginCountsAs5xxUnlessSplit) {
  EXPECT_EQ(report(0, Outcome::kLocalFailure, 5), EjectionCause::kConsecutive5xx);
  rules_.split_local_origin = true;
  rules_.consecutive_local_origin_failure = 2;
  EXPECT_FALSE(report(1, Outcome::kLocalFailure));
  EXPECT_FALSE(report(1, Outcome::k5xx));  // it was heard of
  EXPECT_FALSE(report(1, Outcome::kLocalFailure));
  EXPECT_EQ(report(1, Outcome::kLocalFailure), EjectionCause::kConsecutiveLocal);
}

TEST_F(OutlierTest, EjectionGrowsAndShrinks) {
  rules_.max_ejection_percent = 100;
  rules_.base_ejection = seconds(30);
  rules_.max_ejection = seconds(70);
  for (int seconds_out : {30, 60, 70, 70}) {
    ASSERT_TRUE(eject(0));
    EXPECT_EQ(health_.end_ejections(now_), now_ + seconds(seconds_out));
    now_ += seconds(seconds_out);
    EXPECT_FALSE(health_.end_ejections(now_));
    EXPECT_FALSE(hosts_[0]->ejected());
  }
  for (int i = 0; i < 3; ++i) sweep();
  ASSERT_TRUE(eject(0));
  EXPECT_EQ(health_.end_ejections(now_), now_ + seconds(60));
}

TEST_F(OutlierTest, Jitter) {
  rules_.max_ejection_jitter = seconds(10);
  ASSERT_TRUE(eject(0, EjectionCause::kConsecutive5xx, std::uint64_t{5'000'000'000} << 8));
  EXPECT_EQ(health_.end_ejections(now_), now_ + seconds(35));
}

TEST_F(OutlierTest, AtMostAPercentage) {
  rules_.max_ejection_percent = 20;
  EXPECT_TRUE(eject(0));
  EXPECT_TRUE(eject(1));
  EXPECT_FALSE(eject(2));
  EXPECT_EQ(health_.counts().overflow, 1u);
  EXPECT_EQ(health_.counts().active, 2u);
}

TEST_F(OutlierTest, OneMayAlwaysGoUnlessForbidden) {
  rules_.max_ejection_percent = 0;
  rules_.always_eject_one_host = false;
  EXPECT_FALSE(eject(0));
  rules_.always_eject_one_host = true;
  EXPECT_TRUE(eject(0));
  EXPECT_FALSE(eject(1));
}

TEST_F(OutlierTest, ChanceOfEnforcing) {
  rules_.enforcing_consecutive_5xx = 40;
  EXPECT_FALSE(eject(0, EjectionCause::kConsecutive5xx, 40));
  EXPECT_TRUE(eject(0, EjectionCause::kConsecutive5xx, 39));
  EXPECT_EQ(health_.counts().detected[0], 2u);
  EXPECT_EQ(health_.counts().enforced[0], 1u);
}

TEST_F(OutlierTest, SuccessRate) {
  rules_.enforcing_success_rate = 100;
  rules_.consecutive_5xx = 0;
  rules_.max_ejection_percent = 50;
  for (std::size_t host = 0; host < 10; ++host) {
    // One host fails every fifth request, the others all succeed.
    for (int i = 0; i < 100; ++i) {
      report(host, host == 3 && i % 5 == 0 ? Outcome::k5xx : Outcome::kSuccess);
    }
  }
  sweep();
  EXPECT_TRUE(hosts_[3]->ejected());
  EXPECT_EQ(health_.counts().active, 1u);
  // Too few requests to judge by.
  for (std::size_t host = 0; host < 10; ++host) report(host, Outcome::k5xx, 99);
  sweep();
  EXPECT_EQ(health_.counts().active, 1u);
}

TEST_F(OutlierTest, FailurePercentage) {
  rules_.enforcing_failure_percentage = 100;
  rules_.failure_percentage_threshold = 60;
  rules_.failure_percentage_minimum_hosts = 2;
  rules_.consecutive_5xx = 0;
  report(0, Outcome::k5xx, 30);
  report(0, Outcome::kSuccess, 20);
  report(1, Outcome::k5xx, 29);
  report(1, Outcome::kSuccess, 21);
  sweep();
  EXPECT_TRUE(hosts_[0]->ejected());
  EXPECT_FALSE(hosts_[1]->ejected());
}

TEST_F(OutlierTest, AHostThatNobodyKnowsIsForgotten) {
  hosts_.clear();
  (void)health_.host(io::Address::loopback(99));
  EXPECT_TRUE(health_.hosts().empty());
}

}  // namespace
}  // namespace mizzen::proxy::upstream
