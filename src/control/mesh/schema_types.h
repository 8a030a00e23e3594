// Short names for the parts of Istio's schemas that translation reads. Internal to control.
#pragma once

#include "istio/networking.pb.h"

namespace mizzen::control {

using HttpRouteSpec = schema::HTTPRoute;
using HttpMatchSpec = schema::HTTPMatchRequest;
using HttpDestinationSpec = schema::HTTPRouteDestination;
using DestinationSpec = schema::Destination;
using StringMatchSpec = schema::StringMatch;
using HeadersSpec = schema::Headers;
using RetrySpec = schema::HTTPRetry;
using ServerSpec = schema::Server;

}  // namespace mizzen::control
