/* SPDX-License-Identifier: Apache-2.0 */
/* The commands' entry points and option tables, for the command table in table.c. */
#pragma once

#include "cli/cli.h"

typedef int command_fn(struct cli *cli, void *args, struct operands *ops, struct err *e);

command_fn cmd_run, cmd_exec, cmd_create, cmd_start, cmd_stop, cmd_rm, cmd_ls, cmd_logs;
command_fn cmd_inspect, cmd_ps, cmd_restart, cmd_attach, cmd_touch, cmd_pause, cmd_resume;
command_fn cmd_metrics, cmd_copy, cmd_net_explain;
command_fn cmd_doctor, cmd_ping, cmd_pull, cmd_load, cmd_image_ls, cmd_image_inspect, cmd_image_rm;
command_fn cmd_registry_login, cmd_registry_logout, cmd_registry_ls;
command_fn cmd_image_prune, cmd_image_save;
command_fn cmd_volume_create, cmd_volume_ls, cmd_volume_inspect, cmd_volume_rm, cmd_volume_prune;
command_fn cmd_df, cmd_prune;
command_fn cmd_completion, cmd_man;

extern const struct opt *const attach_options[];
extern const struct opt *const doctor_options[], *const ping_options[], *const touch_options[];
extern const struct opt *const pause_options[], *const resume_options[], *const metrics_options[];
extern const struct opt *const run_options[], *const create_options[], *const exec_options[];
extern const struct opt *const start_options[], *const stop_options[], *const rm_options[];
extern const struct opt *const inspect_options[], *const ps_options[], *const restart_options[];
extern const struct opt *const copy_options[], *const net_explain_options[];
extern const struct opt *const ls_options[], *const logs_options[], *const pull_options[];
extern const struct opt *const load_options[], *const image_ls_options[];
extern const struct opt *const image_inspect_options[], *const image_rm_options[];
extern const struct opt *const registry_login_options[], *const registry_logout_options[];
extern const struct opt *const registry_ls_options[];
extern const struct opt *const image_prune_options[], *const image_save_options[];
extern const struct opt *const volume_create_options[], *const volume_ls_options[];
extern const struct opt *const volume_inspect_options[], *const volume_rm_options[];
extern const struct opt *const volume_prune_options[], *const df_options[], *const prune_options[];
extern const struct opt *const completion_options[], *const man_options[];

extern const size_t attach_args_size, doctor_args_size, ping_args_size, touch_args_size;
extern const size_t pause_args_size, resume_args_size, metrics_args_size;
extern const size_t run_args_size, create_args_size, exec_args_size, start_args_size;
extern const size_t stop_args_size, rm_args_size, ls_args_size, logs_args_size;
extern const size_t inspect_args_size, ps_args_size, restart_args_size;
extern const size_t copy_args_size, net_explain_args_size;
extern const size_t pull_args_size, load_args_size, image_ls_args_size;
extern const size_t image_inspect_args_size, image_rm_args_size;
extern const size_t registry_login_args_size, registry_logout_args_size, registry_ls_args_size;
extern const size_t image_prune_args_size, image_save_args_size;
extern const size_t volume_create_args_size, volume_ls_args_size, volume_inspect_args_size;
extern const size_t volume_rm_args_size, volume_prune_args_size, df_args_size, prune_args_size;
extern const size_t completion_args_size, man_args_size;
