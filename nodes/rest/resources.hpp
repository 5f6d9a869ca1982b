// The resources behind the routes: one function for each, called by answer() (routes.hpp) once the caller may.
//
// Threads: the loop of the store. Errors: every error is a response. The context must outlive the coroutines.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "nodes/rest/routes.hpp"

namespace ringfs::nodes {

Task<RestResponse> get_value(RestContext& context, RestCall call);
Task<RestResponse> change_value(RestContext& context, RestCall call);  // PUT and DELETE
Task<RestResponse> get_lookup(RestContext& context, RestCall call);
Task<RestResponse> get_ring(RestContext& context, RestCall call);
Task<RestResponse> get_members(RestContext& context, RestCall call);
Task<RestResponse> add_member(RestContext& context, RestCall call);
Task<RestResponse> remove_member(RestContext& context, RestCall call);
Task<RestResponse> get_health(RestContext& context, RestCall call);
Task<RestResponse> get_metrics(RestContext& context, RestCall call);
Task<RestResponse> get_openapi(RestContext& context, RestCall call);
Task<RestResponse> get_docs(RestContext& context, RestCall call);
// login.cpp
Task<RestResponse> get_start(RestContext& context, RestCall call);  // "/"
Task<RestResponse> get_login_page(RestContext& context, RestCall call);
Task<RestResponse> log_in(RestContext& context, RestCall call);
Task<RestResponse> log_out(RestContext& context, RestCall call);

// ---- What they answer with.
RestResponse respond(unsigned version, boost::beast::http::status status, std::string_view type, std::string body);
RestResponse respond_json(unsigned version, const nlohmann::json& body);
RestResponse respond_page(unsigned version, std::string html);
RestResponse respond_elsewhere(unsigned version, boost::beast::http::status status, std::string_view location);
RestResponse respond_error(unsigned version, const Error& error);

}  // namespace ringfs::nodes
