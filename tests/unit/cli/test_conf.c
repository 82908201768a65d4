/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files on the real table of options; nothing is run. */
#include "../testing.h"

#include "cli/conf.h"

/* What options are parsed into is given back by the end of msb, and of this test, not before. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define FILES_MAX 4

/* What a command line with these files comes to. */
struct use {
	const char *files[FILES_MAX]; /* their contents */
	const char *argv[8];
};

struct used {
	struct sandbox_options *o; /* NULL: refused, with `e` */
	struct operands ops;
	struct err e;
	const struct command *command;
};

static struct used use(const char *dir, const struct use *u)
{
	struct used ret = {.command = command_find(msb_command.subcommands, "run")};
	struct cli cli = {.command = ret.command};
	struct strv argv = {0};
	const char *image = NULL;

	for (size_t i = 0; i < FILES_MAX && u->files[i]; i++) {
		char *path = xasprintf("%s/%zu.yaml", dir, i);

		put_file(path, u->files[i]);
		strv_add(&argv, "--conf");
		strv_take(&argv, path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(u->argv) && u->argv[i]; i++)
		strv_add(&argv, u->argv[i]);
	cli.argc = (int)argv.n;
	cli.argv = argv.v;
	ret.o = xcalloc(1, *ret.command->args_size);
	if (opt_parse(ret.command, cli.argc, cli.argv, ret.o, &ret.ops, &ret.e) < 0 ||
	    conf_use(&cli, ret.o, &ret.ops, &image, &ret.e) < 0 ||
	    (!image && conf_no_image(&cli, ret.o, &ret.e) < 0)) {
		free(ret.o);
		ret.o = NULL;
	}
	strv_release(&argv);
	return ret;
}

static void release(struct used *r)
{
	free(r->o);
	operands_release(&r->ops);
}

static struct used taken(const char *dir, const struct use *u)
{
	struct used r = use(dir, u);

	assert_string_equal(r.e.msg, "");
	assert_non_null(r.o);
	return r;
}

static void test_fields(void **state)
{
	struct used r = taken(
		*state, &(struct use){{"image: alpine\n"
				       "pull_policy: missing\n"
				       "cpus: 2\nmemory: 1G\n"
				       "workdir: /w\nshell: /bin/ash\nuser: '1:2'\nhostname: h\n"
				       "entrypoint: [a, 'b c']\ncmd: []\n"
				       "env: {A: 1.10, B: 'x=y'}\nlabels: {team: ''}\n"
				       "mounts: [{tmpfs: {size: 5M}, target: /t}, "
				       "{tmpfs: , target: /u}]\n"}});

	assert_int_equal(r.ops.args.n, 1);
	assert_string_equal(r.ops.args.v[0], "alpine");
	assert_string_equal(r.o->pull, "if-missing");
	assert_int_equal(r.o->cpus, 2);
	assert_int_equal(r.o->memory, GIB);
	assert_string_equal(r.o->workdir, "/w");
	assert_string_equal(r.o->shell, "/bin/ash");
	assert_string_equal(r.o->user, "1:2");
	assert_string_equal(r.o->hostname, "h");
	assert_int_equal(json_array_size(r.o->conf_entrypoint), 2);
	assert_string_equal(json_string_value(json_array_get(r.o->conf_entrypoint, 1)), "b c");
	assert_int_equal(json_array_size(r.o->conf_cmd), 0);
	assert_int_equal(r.o->env.n, 2);
	assert_string_equal(r.o->env.v[0], "A=1.10");
	assert_string_equal(r.o->env.v[1], "B=x=y");
	assert_int_equal(r.o->labels.n, 1);
	assert_string_equal(r.o->labels.v[0], "team=");
	assert_int_equal(r.o->mounts.n, 2);
	assert_string_equal(r.o->mounts.v[0].target, "/t");
	assert_int_equal(r.o->mounts.v[0].size, 5 * MIB);
	assert_string_equal(r.o->mounts.v[1].target, "/u");
	assert_int_equal(r.o->mounts.v[1].size, 0);
	release(&r);
}

/* A script without an interpreter's line gets that of the shell. */
static void test_scripts(void **state)
{
	struct used r = taken(*state, &(struct use){{"image: a\nshell: bash\nscripts: "
						     "{one: 'a ${B}', two: \"#!/bin/x\\ny\"}"}});

	assert_int_equal(r.o->raw_scripts.n, 2);
	assert_string_equal(r.o->raw_scripts.v[0], "one=#!/usr/bin/env bash\na ${B}");
	assert_string_equal(r.o->raw_scripts.v[1], "two=#!/bin/x\ny");
	release(&r);
	r = taken(*state, &(struct use){{"image: a\nscripts: {one: x}"}});
	assert_string_equal(r.o->raw_scripts.v[0], "one=#!/bin/sh\nx");
	release(&r);
}

/* What is typed comes last, and so does what a later file says; maps are merged, lists are not. */
static void test_order(void **state)
{
	struct used r =
		taken(*state, &(struct use){{"image: a\ncpus: 2\nmemory: 1G\n"
					     "env: {A: 1, B: 1}\ncmd: [x, y]\n",
					     "image: {oci: b}\ncpus: 3\nenv: {B: 2}\ncmd: [z]\n"},
					    {"-c", "4", "-e", "A=9"}});

	assert_string_equal(r.ops.args.v[0], "b");
	assert_int_equal(r.o->cpus, 4);
	assert_int_equal(r.o->memory, GIB);
	assert_int_equal(json_array_size(r.o->conf_cmd), 1);
	assert_int_equal(r.o->env.n, 3);
	assert_string_equal(r.o->env.v[1], "B=2");
	assert_string_equal(r.o->env.v[2], "A=9"); /* of one name the last counts */
	release(&r);
	r = taken(*state, &(struct use){{"image: a"}, {"typed", "--", "cmd"}});
	assert_int_equal(r.ops.args.n, 1);
	assert_string_equal(r.ops.args.v[0], "typed");
	assert_string_equal(r.ops.command.v[0], "cmd");
	release(&r);
}

static void test_variables(void **state)
{
	struct used r;

	setenv("MSB_TEST_A", "value", 1);
	r = taken(*state, &(struct use){{"image: a\nenv: {A: '${MSB_TEST_A}', "
					 "B: 'x${MSB_TEST_A}${MSB_TEST_A}y', C: '$${B} $B $ $', "
					 "D: '$$'}"}});
	assert_string_equal(r.o->env.v[0], "A=value");
	assert_string_equal(r.o->env.v[1], "B=xvaluevaluey");
	assert_string_equal(r.o->env.v[2], "C=${B} $B $ $");
	assert_string_equal(r.o->env.v[3], "D=$$");
	release(&r);
	unsetenv("MSB_TEST_A");
}

/* A relative directory is beside the file, wherever msb is run. */
static void test_image_beside_the_file(void **state)
{
	_cleanup_free_ char *root = xasprintf("%s/root", (char *)*state);
	_cleanup_free_ char *real = NULL;
	struct used r;

	assert_int_equal(mkdir(root, 0700), 0);
	real = realpath(root, NULL);
	r = taken(*state, &(struct use){{"image: ./root"}});
	assert_string_equal(r.ops.args.v[0], real);
	release(&r);
	r = taken(*state, &(struct use){{"image: {bind: ./root}"}});
	assert_string_equal(r.ops.args.v[0], real);
	release(&r);
}

static void test_refused(void **state)
{
	static const struct {
		const char *yaml, *saying;
	} cases[] = {
		{"[a]", "map of fields"},
		{"imag: a", "unknown field 'imag'"},
		{"cpus: 2", "no image"},
		{"image: [a]", "image: expected a text"},
		{"image: {oci: a, bind: /b}", "image: expected one of"},
		{"image: {bind: b}", "image: expected a path"},
		{"image: {snapshot: b}", "image: unknown field 'snapshot'"},
		{"image: ./nowhere", "cannot use"},
		{"image: a\ncpus: 0", "cpus: invalid value '0'"},
		{"image: a\ncpus: true", "cpus: expected"},
		{"image: a\npull_policy: sometimes", "pull_policy: invalid value"},
		{"image: a\nenv: [A=1]", "env: expected a map"},
		{"image: a\nenv: {A: true}", "env.A: expected"},
		{"image: a\nenv: {A: }", "env.A: expected"},
		{"image: a\nenv: {A=B: c}", "env.A=B: the key"},
		{"image: a\nenv: {A: '${MSB_TEST_UNSET}'}", "variable 'MSB_TEST_UNSET' not set"},
		{"image: a\nenv: {A: '${}'}", "'${' is not followed"},
		{"image: a\nenv: {A: 'x${y'}", "'${' is not followed"},
		{"image: a\nlabels: {sandbox.x: y}", "labels.sandbox.x: "},
		{"image: a\nentrypoint: a", "entrypoint: expected a list"},
		{"image: a\ncmd: [[a]]", "cmd[0]: expected"},
		{"image: a\nmounts: ['./a']", "mounts[0]: volume must be in format"},
		{"image: a\nmounts: [{bind: a, target: /t}]", "mounts[0]: expected a path"},
		{"image: a\nmounts: [{bind: ./a}]", "mounts[0]: expected target"},
		{"image: a\nmounts: [{target: /a}]", "mounts[0]: expected target"},
		{"image: a\nmounts: [{named: a, disk: ./b, target: /t}]",
		 "only one of bind, named, disk"},
		{"image: a\nmounts: [{named: a, target: /t, readonly: 'yes'}]",
		 "mounts[0].readonly: expected true or false"},
		{"image: a\nmounts: [{named: a, target: /t, quota: many}]", "invalid size"},
		{"image: a\nmounts: [{disk: ./a, target: /t, quota: 1G}]",
		 "`quota` is not valid here"},
		{"image: a\nmounts: [{disk: ./a, target: /t, format: qcow2}]", "cannot be mounted"},
		{"image: a\nmounts: [{tmpfs: {size: 5M, mode: 7}, target: /t}]",
		 "unknown field 'mode'"},
		{"image: a\nmounts: [{tmpfs: , target: t}]", "mounts[0]: guest mount path must"},
		{"image: a\nrlimits: [{resource: nofile}]", "rlimits[0]: expected resource, soft"},
		{"image: a\nrlimits: [{resource: true, soft: 1}]", "rlimits[0]: expected a text"},
		{"image: a\nrlimits: [{resource: nofile, soft: [1]}]",
		 "rlimits[0]: expected a text"},
		{"image: a\nrlimits: [{resource: nofile, soft: 1, hard: true}]",
		 "rlimits[0]: expected"},
		{"image: a\nrlimits: [{resource: nofile, soft: 2, hard: 1}]", "above the hard one"},
		{"image: a\nnetwork: lan", "network: invalid value 'lan'"},
		{"image: a\nnetwork: [none]", "network: expected a map"},
		{"image: a\nnetwork: {polcy: none}", "network: unknown field 'polcy'"},
		{"image: a\nnetwork: {policy: {}}", "network.policy: expected a text"},
		{"image: a\nnetwork: {allow: a.b}", "network.allow: expected a list"},
		{"image: a\nnetwork: {allow: [foo]}", "network.allow[0]: network rule 'allow@foo'"},
		{"image: a\nnetwork: {deny: [10.0.0.1/8]}", "network.deny[0]: "},
		{"image: a\nnetwork: {dns: {timeout: 1}}", "unknown field 'timeout'"},
		{"image: a\nnetwork: {dns: {rebind_protection: 'off'}}", "expected true or false"},
		{"image: a\nnetwork: {dns: {nameservers: [here]}}", "network.dns.nameservers[0]: "},
		{"image: a\nnetwork: {max_connections: 0}", "network.max_connections: "},
		{"image: a\nnetwork: {tls: {enabled: true}}", "no TLS interception"},
		{"image: a\nports: ['80']", "ports[0]: invalid value '80'"},
		{"image: a\nports: {80: 80}", "ports: expected a list"},
		{"image: a\nsecrets: {}", "no secrets"},
	};

	unsetenv("MSB_TEST_UNSET");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct used r = use(*state, &(struct use){{cases[i].yaml}});

		assert_null(r.o);
		if (!strstr(r.e.msg, cases[i].saying))
			fail_msg("'%s' does not say '%s'", r.e.msg, cases[i].saying);
		if (!strstr(r.e.msg, "0.yaml"))
			fail_msg("'%s' does not name the file", r.e.msg);
		release(&r);
	}
}

static void expect_strings(const struct strv *sv, const char *a, const char *b)
{
	assert_int_equal(sv->n, b ? 2 : 1);
	assert_string_equal(sv->v[0], a);
	if (b)
		assert_string_equal(sv->v[1], b);
}

static void test_network(void **state)
{
	struct used r = taken(*state, &(struct use){{"image: a\n"
						     "network:\n"
						     "  allow: [Example.com:tcp:443]\n"
						     "  deny: ['*.evil.example']\n"
						     "  ports: ['8080:80']\n"
						     "  max_connections: 7\n"
						     "  dns: {rebind_protection: false, "
						     "nameservers: [192.0.2.1]}\n"
						     "ports: ['53:53/udp']\n"},
						    {"--net-rule", "allow@public"}});
	const struct network_options *o = &r.o->network;

	expect_strings(&o->conf_rules, "deny@suffix=evil.example",
		       "allow@domain=example.com:tcp:443");
	expect_strings(&o->rules, "allow@public", NULL);
	expect_strings(&o->ports, "8080:80", "53:53/udp");
	expect_strings(&o->nameservers, "192.0.2.1", NULL);
	assert_string_equal(o->default_egress, "deny");
	assert_int_equal(o->max_connections, 7);
	assert_true(o->no_rebind_protection);
	release(&r);

	r = taken(*state, &(struct use){{"image: a\nnetwork: public"}, {"-p", "80:80"}});
	assert_string_equal(r.o->network.policy, "public-only");
	release(&r);

	r = taken(*state, &(struct use){{"image: a\nnetwork: {policy: open, allow: [a.b]}"},
					{"--network-policy", "none"}});
	assert_string_equal(r.o->network.policy, "none");
	assert_null(r.o->network.default_egress);
	release(&r);
}

static void test_without_files(void **state)
{
	struct used r = use(*state, &(struct use){{0}, {"-c", "2"}});

	assert_null(r.o);
	assert_int_equal(r.e.code, ERR_USAGE);
	assert_non_null(strstr(r.e.msg, "<IMAGE>"));
	release(&r);
	r = taken(*state, &(struct use){{0}, {"-c", "2", "image"}});
	assert_int_equal(r.o->cpus, 2);
	release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		temp_test(test_fields),    temp_test(test_order),
		temp_test(test_variables), temp_test(test_image_beside_the_file),
		temp_test(test_refused),   temp_test(test_without_files),
		temp_test(test_scripts),   temp_test(test_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
