"""Services and their consoles: what destroys, hands out rights, or changes what others use."""

CLOUD = {
    "grant": """
aws iam attach-*|put-*-policy|put-user-policy|put-role-policy|put-group-policy|add-user-to-group|create-access-key|create-login-profile|update-assume-role-policy|create-policy-version|set-default-policy-version|update-login-profile|upload-ssh-public-key|create-user|add-role-to-instance-profile|update-account-password-policy|create-virtual-mfa-device|add-client-id-to-open-id-connect-provider
aws s3api put-bucket-*|put-object-acl|put-public-access-block|put-bucket-policy
aws s3control put-*
aws lambda add-permission|update-function-code|update-function-configuration|add-layer-version-permission|create-function-url-config
aws ec2 authorize-security-group-*|modify-*|associate-iam-instance-profile|replace-iam*|create-key-pair|import-key-pair|modify-instance-attribute|reset-*|replace-route|replace-network-acl*
aws sts assume-role*
aws kms create-grant|put-key-policy|schedule-key-deletion|disable-key|update-primary-region
aws organizations attach-policy|detach-policy|leave-organization|remove-account*|close-account|delete*
aws sqs,sns set-*|add-permission
aws ecr set-repository-policy|put-lifecycle-policy
aws secretsmanager put-resource-policy|put-secret-value|update-secret|rotate-secret
aws ssm send-command|start-session|put-parameter|start-automation-execution|modify-document-permission
aws ecs execute-command|update-service|stop-task
aws rds modify-*|promote-*|failover-*|reboot-*|restore-*|stop-*
aws cloudformation update-stack|execute-change-set|cancel-update-stack|continue-update-rollback
aws eks update-*|associate-*|create-access-entry
aws route53 change-*
aws cloudfront update-distribution
aws cloudtrail update-trail|put-event-selectors|stop-logging
aws autoscaling set-desired-capacity|terminate-*|suspend-processes|detach-*|update-auto-scaling-group
aws ses set-*|put-*
aws apigateway update-*|put-*
aws dynamodb update-table|batch-write-item|restore-*
aws ram,sso-admin,account,lakeformation create-*|associate-*|grant-*|put-*|enable-*|disable-*
gcloud add-iam-policy-binding|set-iam-policy|remove-iam-policy-binding|set-iam-policy
gcloud iam service-accounts|roles|workload-identity-pools create|keys|undelete|enable|disable|sign-blob|sign-jwt
gcloud compute ssh|scp|reset|resize|set-service-account|add-metadata|add-access-config|start-iap-tunnel|reset-windows-password
gcloud compute instances|project-info add-metadata|remove-metadata|set-*
gcloud compute firewall-rules create|update
gcloud sql users|instances|import|export set-password|create|patch|restart|failover|restore-backup|sql
gcloud services enable|disable
gcloud config set auth/*|proxy/*|api_endpoint_overrides/*
gcloud auth activate-service-account|login|revoke
gcloud storage buckets|objects update|add-iam*
gcloud organizations|resource-manager add-*|set-*|delete|disable-enforce
gcloud app deploy
gcloud run deploy
gcloud functions deploy
gcloud kms keys versions|add-iam* destroy|disable|binding
gcloud dns record-sets import|transaction|update
gcloud container clusters|node-pools resize|update|upgrade
gsutil iam|acl|defacl|lifecycle|retention|versioning|web|cors|notification ch|set|clear|lock|create
bq add-iam-policy-binding|set-iam-policy|remove-iam-policy-binding
az role assignment|definition create|update|delete
az ad user|group|app|sp|member create|add|update|reset|delete
az keyvault set-policy|delete-policy|purge|recover|update
az keyvault secret|key|certificate set|delete|purge|import|set-attributes
az vm run-command|extension|user|reset-ssh invoke|set|update|reset*|create
az vm user|stop|restart|redeploy|reimage|convert|generalize
az storage account|container|blob|share generate-sas|set-permission|delete*|renew|update|set-tier
az network nsg|firewall|public-ip rule create|update
az network nsg rule create|update|delete
az webapp,functionapp,containerapp config|deployment|deploy|restart|stop|swap|up
az webapp|functionapp|containerapp set|delete|restart|stop|up|swap|deploy|config-zip|sync
az deployment group|sub|mg|tenant create|delete
az sql server firewall-rule|ad-admin create|update|delete
az aks update|scale|stop|upgrade|rotate-certs|command
az acr import|run|update
az policy assignment|definition create|delete|update
az lock delete
az monitor diagnostic-settings|activity-log|log-profiles delete|update
oci iam policy|user|group create|update|add-user|upload
ibmcloud iam user-policy-create|service-policy-create|access-group-user-add
doctl compute firewall create|update|add-rules
vault policy write
vault write auth/*|sys/*|identity/*|aws/*|pki/*|database/*|ssh/*
vault auth|secrets|audit|plugin enable|disable|tune|move|register|reload
vault operator seal|step-down|rekey|rotate|raft|migrate
vault token revoke
vault lease revoke
vault kv put|patch|delete|destroy|metadata|rollback|undelete
vault delete
vault kv metadata get !put !delete !patch
consul acl bootstrap|token|policy|role create|update|delete|set-agent-token
consul kv put|delete|import
consul intention,config write|delete|create
consul intention|config|snapshot|operator|force-leave|maint|leave|services|reload write|delete|create|restore|raft|remove-peer|-enable|deregister
nomad acl|operator|var|namespace|node|alloc|system|job|deployment bootstrap|delete|purge|drain|eligibility|stop|exec|gc|revert|fail|dispatch|raft|restart|put
boundary connect
teleport,tctl users|tokens|auth|create|rm|edit add|rm|reset|sign|export
gh secret|variable set|delete|remove
gh ssh-key|gpg-key|deploy-key add|delete
gh repo deploy-key add|delete
gh repo edit|rename|archive|delete|sync|unarchive|transfer
gh repo create|fork --public|--push
gh auth login|logout|refresh|setup-git|switch
gh api -X|--method POST|PUT|PATCH|DELETE|post|put|patch|delete
gh api -XPOST|-XPUT|-XPATCH|-XDELETE|--method=POST|--method=PUT|--method=PATCH|--method=DELETE
gh api --input
gh pr merge|lock|revert
gh pr close -d|--delete-branch
gh pr review -a|--approve
gh workflow run|enable|disable
gh run rerun|cancel|delete
gh release create|edit|delete|upload|delete-asset
gh codespace|cs create|delete|stop|ssh|cp|rebuild|edit
gh issue|label|milestone|project delete|transfer|lock|pin
gh cache|gist|project|ruleset|attestation delete|remove|edit|item-delete
gh org,team invite|add
gh config set
gh alias set|import|delete
glab api -X|--method POST|PUT|PATCH|DELETE
glab mr merge|approve|delete|revoke
glab ci|pipeline run|trigger|retry|cancel|delete|run-trig
glab variable set|update|delete|export|import
glab repo|project delete|archive|transfer|create|mirror|members
glab ssh-key|deploy-key|token|schedule|securefile|user add|create|delete|revoke|rotate|remove|run
glab auth login|logout
glab issue,release,label,snippet,milestone,iteration delete
glab issue|release|label|snippet|milestone delete
tea repos|issues|releases|pulls|branches delete|merge|create|protect
hub delete|release|merge|sync|api|pull-request
az repos|pipelines|boards|devops delete|run|update|create|approve
stripe refunds|payouts|transfers|charges|payment_intents|subscriptions|invoices|coupons|payment_links create|cancel|capture|confirm|pay|void|send|reverse|update|finalize
stripe trigger|resend|post|delete --live
stripe delete|post
""",
    "deploy": """
vercel --prod|--production|promote|rollback|alias|rm|remove|domains|dns|env|certs|secrets !ls !list !inspect !pull
vercel deploy --prod|--production|--target=production
netlify deploy --prod|--prodIfUnlocked|-p
netlify env:*|sites:delete|sites:create|api
firebase deploy|hosting:disable|hosting:channel:delete|functions:delete|firestore:delete|projects:delete|projects:create|database:remove|database:set|auth:import|remoteconfig:rollback|apps:*
heroku apps:*|config:set|config:unset|pg:reset|pg:promote|pg:copy|pg:killall|pg:push|pg:backups:restore|ps:scale|ps:stop|ps:kill|ps:restart|releases:rollback|run|run:detached|addons:*|access:*|domains:*|maintenance:*|container:*|pipelines:*|keys:*|labs:*|git:*|redis:*|rollback|restart|authorizations:* !addons:info !apps:info
fly,flyctl deploy|launch|apps|scale|secrets|volumes|machine|machines|m|ssh|suspend|restart|destroy|postgres|pg|certs|ips|tokens|orgs|console|sftp|proxy|wireguard|extensions create|destroy|set|unset|import|update|remove|stop|kill|restart|console|connect|delete|count|memory|vm|suspend|release|allocate*|revoke|clone|issue|resume|move|detach|attach
fly,flyctl deploy|launch|suspend|resume|destroy|scale
railway up|down|delete|deploy|redeploy|add|run|environment|volume|variables --set|--set*|delete|new
railway up|down|delete|deploy|redeploy|ssh|connect
render deploys|services|psql|ssh|jobs|restart create|cancel|delete|suspend|update
wrangler deploy|publish|delete|rollback|secret|d1|kv|kv:*|r2|queues|pages|versions|dispatch-namespace|hyperdrive|vectorize|pubsub|triggers|deployments put|delete|bulk|execute|import|deploy|create|purge|rollback|migrations|upload|rename|time-travel|restore
wrangler deploy|publish|delete|rollback
wrangler kv:key|kv:namespace|kv:bulk delete|put
supabase db|projects|secrets|functions|storage|branches|migration|domains|network-restrictions|ssl-enforcement|vanity-subdomains|orgs|config reset|push|delete|set|unset|deploy|rm|mv|repair|squash|create|update|activate|remote
supabase stop --no-backup
planetscale,pscale database|branch|deploy-request|password|org delete|deploy|create|promote|reset|shell
neonctl,neon branches|projects|databases|roles|endpoints delete|reset|restore|set-primary|create
turso db|group|org|auth destroy|delete|revoke|tokens|invalidate
atlas,mongocli cluster*|project*|dbuser*|accessList*|backup*|apiKey*|org* delete|pause|create|restore|update|terminate|start
pulumi up|update|destroy|refresh|import|cancel|watch !--preview-only !--help
pulumi stack|state|config|org|policy|env rm|delete|import|rename|unprotect|change-secrets-provider|upgrade|enable|disable|publish
cdk deploy|destroy|bootstrap|import|rollback|watch|gc
cdktf deploy|destroy|apply
sam deploy|delete|sync|remote
serverless,sls deploy|remove|rollback|invoke
amplify push|publish|delete|remove
copilot deploy|app|svc|env|job|pipeline|task delete|deploy|run|exec|pause|resume
copilot deploy
eb deploy|terminate|abort|restore|swap|scale|setenv|create|clone|ssh|restart|upgrade
chalice,zappa,up,arc,begin,architect,sst,shuttle,nitric,encore,modal,beam,cog,banana,replicate,fal deploy|undeploy|remove|delete|destroy|rollback|stop|publish|push
sst remove|deploy|unlock
surge !list !whoami !--help !--version !-h
flask db downgrade base
manage.py migrate zero
kamal,mrsk,capistrano,cap,dokku,piku,caprover,waypoint,porter,skaffold,tilt,devspace,garden,okteto,werf deploy|remove|delete|destroy|rollback|redeploy|setup|apps:destroy|ps:stop|app|down|production|purge|converge|dismiss
kamal,mrsk app|accessory|proxy|server|registry|prune|env|traefik exec|stop|remove|reboot|push|all|bootstrap
terraform,tofu apply|destroy|import|taint|untaint|force-unlock|refresh -auto-approve|--auto-approve|-destroy|-replace*|-force
terraform,tofu destroy|taint|force-unlock
terraform,tofu state rm|mv|push|replace-provider|replace
terraform,tofu workspace delete
terraform,tofu login|logout
terragrunt apply|apply-all|destroy|destroy-all|run-all|run|state|taint|import|force-unlock !plan !validate !output !show
ansible !-C !--check -m|--module-name shell|command|raw|script|reboot|user|service|systemd|file|copy|apt|yum|dnf|package|cron|authorized_key|mount|lineinfile|iptables|ansible.builtin.*|win_*
ansible !-C !--check !-m -a|--args
ansible-vault decrypt|view|edit
salt,salt-call,salt-ssh cmd.run|state.apply|state.highstate|service.*|pkg.*|file.*|user.*|system.*|cmd.*|grains.set|cp.push
salt-key -d|-D|-a|-A|-r
puppet apply|agent|cert|resource|node
chef-client,chef-solo,knife ssh|delete|bootstrap|upload|purge|client|node|bulk|role|data|environment
knife node|client|role|environment|cookbook|data delete|run_list|create|upload|bulk|from
fab,pyinfra,mina,deployer,dep,shipit deploy|production|-H|prod
kubectl,oc,k rollout undo
kubectl,oc,k annotate|label --all|--overwrite|*-
kubectl,oc,k set image|env|resources|selector|serviceaccount|sa|subject
kubectl,oc,k scale --replicas=0|--replicas
kubectl,oc,k patch|edit|replace|evict|cordon|drain|taint|delete|rollback
kubectl,oc,k apply|replace|create --prune|--force|--force=true
kubectl,oc,k exec rm|dd|kill|mkfs*|shutdown|reboot
kubectl,oc,k config delete-*|unset|set-credentials
kubectl,oc,k certificate deny|approve
kubectl,oc,k autoscale --min=0|--max=0
helm uninstall|delete|un|del|rollback !--dry-run
helm upgrade --force|--reset-values|--recreate-pods|--no-hooks !diff
helmfile destroy|delete|sync|apply
flux delete|uninstall|suspend|bootstrap
argocd app|proj|repo|cluster|account|appset|cert|gpg delete|rm|sync|rollback|set|unset|terminate-op|delete-resource|patch|update-password|add|delete-token|actions
istioctl,linkerd,cilium,consul-k8s,kuma,meshctl uninstall|purge|install|upgrade
velero backup|schedule|restore|backup-location|snapshot-location|uninstall|plugin|repo delete|remove|uninstall|set
velero uninstall
etcdctl member|user|role|auth|snapshot|lease|alarm remove|delete|restore|disable|revoke|disarm
etcdctl move-leader|compaction|defrag|put
etcdctl del
kubeadm init|join|upgrade|certs|token renew|create|delete|apply
kubeadm reset
k3s-uninstall.sh,k3s-agent-uninstall.sh,k3s-killall.sh,rke2-uninstall.sh,rke2-killall.sh,k0s reset
k3s-uninstall.sh,k3s-agent-uninstall.sh,k3s-killall.sh,rke2-uninstall.sh,rke2-killall.sh
k0s,talosctl,rke,kubespray reset|remove|upgrade|reboot|shutdown|wipe
docker compose down|rm|kill|stop -v|--volumes|--rmi|--rmi=*|-fsv|-fs|-sf|-s
docker,podman,nerdctl system|volume|image|container|network|builder|buildx|secret|config|stack|swarm|service|node|context|plugin|trust|machine|pod|manifest prune|rm|remove|reset|leave|demote|scale|rollback|ca|rotate|update|drain
docker,podman,nerdctl kill|rmi
docker-compose,podman-compose down|rm|kill -v|--volumes|--rmi|-fsv|-f|-s|-fs
docker swarm leave|update|join-token
docker stack|service deploy|rm|update|scale
nginx -s stop|quit
haproxy -sf|-st|-x
apachectl,apache2ctl,httpd,caddy stop|graceful-stop|-k
kong migrations|stop|quit|restart|reset
deck reset|sync|gateway !diff !validate !dump !ping !render
varnishadm ban|stop|vcl.discard|param.set
squid -k
""",
    "destroy": """
hadoop,hdfs fs|dfs -rm|-rmr|-rmdir|-expunge|-chmod|-chown|-truncate|-mv|-deleteSnapshot
hdfs dfsadmin|namenode|haadmin|cacheadmin|crypto|storagepolicies|ec -safemode|-format|-finalizeUpgrade|-refresh*|-failover|-removePool|-transition*|-disallowSnapshot
yarn application|node -kill|-movetoqueue
mapred job -kill
hbase,hive,beeline,impala-shell,trino,presto,spark-sql -e|-q|--execute *drop*|*DROP*|*truncate*|*TRUNCATE*|*delete*|*DELETE*|*disable*
zookeeper-shell,zkCli.sh,zkcli,zookeeper-shell.sh,zkcli.sh delete|deleteall|rmr|set|setquota|setAcl
kafka-* --delete|--delete-config|--reset-offsets|--remove
kafka-topics,kafka-topics.sh --delete|--alter
kafka-configs,kafka-configs.sh --alter|--delete-config
kafka-consumer-groups,kafka-consumer-groups.sh --delete|--reset-offsets|--delete-offsets !--dry-run
kafka-acls,kafka-acls.sh --remove|--add
kafka-delete-records,kafka-delete-records.sh,kafka-leader-election,kafka-leader-election.sh,kafka-reassign-partitions,kafka-reassign-partitions.sh,kafka-streams-application-reset,kafka-streams-application-reset.sh,kafka-server-stop,kafka-server-stop.sh,zookeeper-server-stop.sh !--help !--verify !--dry-run
kafka-storage,kafka-storage.sh format
kcat,kafkacat -P
rpk topic|group|cluster|acl|redpanda|registry|user|security|wasm|transform delete|alter-config|add-partitions|seek|offset-delete|config|trim-prefix|stop
confluent,ccloud kafka|environment|iam|connect|schema-registry|api-key|ksql|cluster delete
pulsar-admin topics|namespaces|tenants|clusters|brokers|functions|sinks|sources|subscriptions delete|clear-backlog|unload|terminate|delete-partitioned-topic|skip*|reset-cursor|truncate|unsubscribe|remove-*
nats stream|str|consumer|con|kv|object|obj|server|account|context|micro|errors|backup|auth rm|delete|del|purge|seal|edit|restore|cluster|step-down|rmm|raft|peer-remove
rabbitmqctl reset|force_reset|delete_*|purge_queue|clear_*|forget_cluster_node|stop*|shutdown|close_*|change_password|set_permissions|set_user_tags|add_user|update_cluster_nodes|cancel_sync_queue|remove_*|restart_vhost
rabbitmqadmin delete|purge|import|close
rabbitmq-plugins disable|enable|set
celery purge|-f
celery control shutdown|pool_shrink|cancel_consumer|revoke|terminate|rate_limit
celery amqp
airflow dags|db|connections|variables|pools|users|tasks delete|reset|clear|clean|drop-archived
airflow db reset|clean|downgrade|drop-archived
prefect,dagster,temporal,tctl flow|deployment|work-pool|workflow|namespace|instance|run|job|schedule|cluster|wf|domain delete|wipe|terminate|cancel|reset|purge|clear
dagster run|asset|instance delete|wipe|wipe-cache
dbt run|build --full-refresh|-f
dbt run-operation
redis-cli,valkey-cli,keydb-cli,dragonfly-cli flushall|flushdb|FLUSHALL|FLUSHDB|shutdown|SHUTDOWN|debug|DEBUG|replicaof|slaveof|REPLICAOF|SLAVEOF|failover|FAILOVER|migrate|MIGRATE|swapdb|SWAPDB|unlink|UNLINK|del|DEL|restore|RESTORE|rename|RENAME
redis-cli,valkey-cli config|CONFIG|acl|ACL|script|SCRIPT|function|FUNCTION|cluster|CLUSTER|client|CLIENT|module|MODULE set|SET|rewrite|REWRITE|resetstat|RESETSTAT|deluser|DELUSER|setuser|SETUSER|flush|FLUSH|kill|KILL|load|LOAD|reset|RESET|forget|FORGET|delete|DELETE|failover|meet|resetstat|unload
redis-cli,valkey-cli --cluster del-node|reset|reshard|call|fix
memcached-tool,memcflush,memcrm
memcflush
mongosh,mongo --eval *drop*|*deleteMany*|*deleteOne*|*remove(*|*shutdownServer*|*fsyncLock*|*dropUser*|*killOp*
mongorestore,mongoimport --drop|--mode=*|--upsert*
pg_restore --clean|-c|-cd|-C
pg_dropcluster,pg_resetwal,pg_rewind,pg_createsubscriber,dropdb,dropuser,dropdb-*
pg_ctl,pg_ctlcluster stop|restart|kill|promote
pg_ctlcluster stop|restart
initdb -D|--pgdata*
pg_dump,pg_dumpall --clean|-c
vacuumdb -f|--full|-af
repmgr,patronictl,stolonctl,pgbouncer,pg_auto_failover,pg_autoctl switchover|failover|remove|reinit|restart|drop|unregister|pause|edit-config|standby|primary|cluster|init
patronictl,pg_autoctl remove|failover|switchover|reinit|restart|drop
barman,pgbackrest,wal-g,wal-e delete|expire|stanza-delete|restore|recover|retain|delete-everything
mysqladmin drop|shutdown|flush-*|kill|password|refresh|stop-slave
mysqldump --add-drop-database
mysql_install_db,mysqld --initialize*|--skip-grant-tables|--init-file*
mysqlimport --delete|-D|--replace
xtrabackup,mariabackup --copy-back|--move-back
sqlite3 .shell*|.system*|.restore*
influx delete|bucket|org|user|auth|task|restore delete|rm|remove|--start|--bucket|--full
influx delete
influxd restore
clickhouse-client,clickhouse -q|--query *DROP*|*drop*|*TRUNCATE*|*truncate*|*DELETE*|*DETACH*
cassandra,nodetool decommission|removenode|drain|clearsnapshot|assassinate|truncatehints|disablegossip|disablebinary|move|rebuild|scrub|stopdaemon|garbagecollect|cleanup
cockroach node|sql|nodelocal|workload|debug decommission|drain|init
cockroach quit
neo4j-admin database|load|restore|set-initial-password|unbind delete|load|restore|drop|--force
couchbase-cli bucket-delete|bucket-flush|failover|rebalance|user-manage|server-remove|node-reset|hard-failover|reset-*
elasticsearch-*,opensearch-* remove|detach-cluster|unsafe-bootstrap|reset|delete
elasticsearch-node,elasticsearch-reset-password,elasticsearch-users,elasticsearch-plugin,elasticsearch-keystore unsafe-bootstrap|detach-cluster|remove*|-u|userdel|remove|useradd|passwd|override-version
curator,curator_cli delete_indices|delete_snapshots|close|shrink|delete-indices
meilisearch,typesense,solr,algolia delete|clear|--clear|reset|remove|indices|rules|synonyms|apikeys
algolia indices|objects|rules|synonyms|apikeys|crawler|profile|settings|dictionary delete|clear|remove|import|move|set|reset|update
solr delete|stop|zk
b2 delete*|rm|hide*|cancel*
b2 bucket|key|file|account delete|clear|update
s3cmd del|rm|rb|setpolicy|delpolicy|setacl|setlifecycle|dellifecycle|expire|abortmp
s5cmd rm|rb|mv|run
s4cmd del
mc rm|rb|undo|mv
mc mirror|admin|ilm|policy|anonymous|replicate|encrypt|retention|event|tag|batch remove|rm|set|delete|--remove|--force|disable|clear|stop|restart|import
rclone delete|deletefile|purge|sync|move|moveto|cleanup|dedupe|rmdir|rmdirs|bisync|backend|settier !--dry-run !-n
restic forget|prune|rewrite|migrate !--dry-run !-n
restic repair|key|unlock|tag|cache index|snapshots|packs|remove|add|passwd|--remove-all|--cleanup|--set|--add|--remove
borg delete|prune|compact|recreate|break-lock|rename|key|config|upgrade !--dry-run !-n
kopia snapshot|repository|policy|maintenance|blob|content|manifest|index|cache delete|expire|change-password|run|set|gc|drop|clear|rm|remove
duplicity remove-*|cleanup|--force !--dry-run
duplicacy prune|restore
tarsnap -d|--nuke|--fsck*|-x
rdiff-backup --remove-older-than*|remove|regress|--check-destination-dir
bup rm|prune-older|gc|fsck
proxmox-backup-client,pbs snapshot|prune|backup forget|remove
aws s3 rm|rb
aws s3 mv s3://*
aws s3 sync --delete
az storage blob|container|file|share|account|queue|table|directory|fs delete*|purge
gsutil rm|rb|mv
gcloud storage rm|mv
gcloud storage buckets|objects delete
sfdx,sf,force project|org|data|user|package delete|bulk|purge|destructive|logout|record|org:delete
heroku destroy
ldcli,launchdarkly-cli flags|projects|environments|segments|metrics|members|access-tokens|webhooks|teams|resources|config delete|archive|remove|toggle-off|toggle-on|update|--unset|*-off
unleash,unleash-cli,flipt,split,splitio,statsig,configcat,growthbook,posthog,optimizely features|feature|flag|flags|projects|project|environments|environment|api-keys|tokens|segments|namespace|namespaces|rule|splits|workspaces delete|archive|remove|kill|disable|off|clean
circleci context|namespace|orb|project|runner|policy|pipeline delete|remove-secret|store-secret|unlist|push|run|revoke|trigger
travis env|sshkey|cache|settings|disable|cancel|restart unset|clear|--delete|set|delete|copy|disable
jenkins-cli,jenkins delete-*|groovy|groovysh|safe-shutdown|shutdown|restart|safe-restart|disable-*|remove-*|reload-*|quiet-down|offline-node|disconnect-node|stop-builds|clear-queue|build|create-*|update-*|install-plugin|import-credentials*
java jenkins-cli* delete-*|groovy|groovysh|safe-shutdown|shutdown|restart|safe-restart|disable-*|remove-*|reload-*|quiet-down|offline-node|disconnect-node|stop-builds|clear-queue|install-plugin|update-*|create-*|import-*
java -jar *jenkins-cli.jar delete-*|groovy|groovysh|safe-shutdown|shutdown|restart|safe-restart|disable-*|remove-*|reload-*|quiet-down|install-plugin|update-*|create-*
gitlab-runner unregister|uninstall|stop
gitlab-runner verify --delete
gitlab-rails runner|console|dbconsole
gitlab-rake,gitlab-ctl gitlab:backup:restore|gitlab:cleanup*|gitlab:setup|stop|restart|reconfigure|uninstall|cleanse|remove-accounts|hup|kill|pg-*|promote*|gitlab:db:*|cache:clear|db:*|gitlab:ldap:*
bk,buildkite pipeline|build|cluster|agent|queue cancel|rebuild|stop|create|delete
concourse,fly-ci,fly destroy-pipeline|dp|set-pipeline|destroy-team|delete-worker|prune-worker|abort-build
drone,woodpecker,woodpecker-cli repo|secret|build|pipeline|orgsecret|user|cron rm|remove|disable|add|update|stop|kill|promote|rollback|delete
octopus,octo,spin,spinnaker,harness,codefresh,screwdriver delete|application|pipelines|deploy-release|project|delete-*|create-release
spin application|pipeline|pipelines|canary delete
auth0,okta,keycloak,kcadm.sh,fusionauth,clerk,workos users|apps|apis|roles|orgs|rules|actions|tenants|domains|api|logs|email|branding|connections|attack-protection|delete|custom-domains|network|ips|universal-login|flows|forms|quickstarts|ap|organizations delete|update|create|unblock|reset|deploy|rm|add|post|put|patch|import|block|rotate-secret|enable|disable|use|set-password|delete*
kcadm.sh delete|update|set-password|create|add-roles|remove-roles
op item|document|vault|user|group|connect|service-account|events-api|account delete|edit|archive|suspend|revoke|provision|forget|create|share|move|reactivate|confirm|grant|token|deprovision
bw delete|edit|create|restore|move|confirm|send|import|device-approval
lpass rm|mv|edit|add|import|share|duplicate
pass rm|remove|delete|mv|insert|edit|init|generate
gopass rm|delete|remove|mv|edit|insert|recipients|setup|init|unlink
doppler secrets|projects|environments|configs|groups|service|workplace|teams delete|set|upload|rename|update|create|tokens|revoke|unset
infisical secrets delete|set|folders
chamber write|delete|import
credstash put|delete|putall
sops updatekeys|rotate|-r|--rotate|--set
dog,datadog,datadog-ci monitor|dashboard|timeboard|screenboard|downtime|tag|lambda|synthetics|host|monitors|dashboards|metric delete|uninstrument|cancel_downtime|mute|mute_all|unmute_all|remove|replace|update|post
newrelic entity|apm|synthetics|workload|alerts|nrql|dashboard|edge|apiaccess|agent|entities|events|reporting|apiAccess|profile delete|remove|destroy|purge|deleteKeys|tags|application|monitor|create|apiAccessDeleteKeys
pd,pagerduty service|user|schedule|ep|team|incident|rest|businessservice|event|orchestration|escalation|maintenance|automation delete|ack|resolve|remove|merge|-X|assign|-d
grafana-cli,grafana,grafanactl,grizzly,grr plugins|admin|delete|cli|apply|resources uninstall|remove|rm|reset-admin-password|delete|data-migration|push
promtool,mimirtool,cortextool,amtool,loki,logcli,thanos tsdb|rules|silence|alertmanager|config|bucket|tools|backfill delete*|create-blocks-from|expire|add|import|load|sync|rewrite|cleanup|retention|mark|update|replicate
splunk remove|clean|delete|stop|restart|disable|offline|edit|set|enable|add|spool|apply|resync|rolling-restart|fsck|cmd|rebalance|bulk|reload
sentry-cli releases|files|projects|monitors|issues|organizations|deploys|upload-* delete|archive|resolve|mute|unresolve|--delete-all
snyk,sonarcloud monitor|auth|ignore|config|delete
sendgrid,mailgun,postmark,mailchimp,ses,customerio,klaviyo delete|remove|purge|clear|update|create
twilio phone-numbers*|api:*|serverless:*|flex:*|chat:*|studio:*|video:*|sync:*|verify:* remove|delete|update
square,braintree,paypal,adyen,shopify,plaid,recurly,chargebee,paddle customers|catalog|locations|subscriptions|theme|app|payments|store|plans|products|orders|refunds delete|cancel|refund|void|push|deploy|destroy|publish|remove|release|archive|bulk
stripe *s delete|cancel|detach|void|expire|archive|close|reject|deactivate
contentful,sanity,prismic,strapi,ghost,wp,drush,drupal,directus,hygraph space|dataset|documents|environment|db|site|post|user|plugin|theme|option|content|database|core|comment|term|sql:*|pm:*|sql-*|si|site:*|config:*|user:*|cache|import|uninstall|hook|schema|media|menu|cap|role|rewrite|search-replace|super-admin|config|eval|eval-file|shell|package delete|drop|reset|destroy|import|clean|empty|sql-drop|deactivate|uninstall|update|query|cli|sql:drop|sql-sync|set|spam|trash|install|activate
fastly service|service-version|domain|backend|vcl|dictionary|dictionary-item|dictionary-entry|acl|acl-entry|logging|compute|healthcheck|user|auth-token|kv-store|kv-store-entry|config-store|config-store-entry|secret-store|secret-store-entry|tls-*|purge|snippet|object-storage|resource-link|rate-limit|product|alerts delete|activate|deactivate|update|--all|deploy|publish|purge|create|disable|rollback|--key|--file|*=all
fastly purge|vcl-purge
akamai,ax,cloudflare,flarectl,cfcli,cf purge|property|edgeworkers|dns|zone|firewall|user-agents|rm|record|remove|zones|records delete|activate|deactivate|remove|rm|invalidate|purge|create|update|block
cloudflared tunnel delete|cleanup|route|create
cf delete|delete-*|push|stop|unbind-*|purge-*|unset-*|restage|scale|set-*|unmap-*|ssh|d
nsupdate,rndc,knotc,pdnsutil,powerdns,octodns-sync,dnscontrol delete*|push|zone-purge|-d|delzone|flush*|halt|stop|freeze|--doit|delete-zone|delete-rrset|replace-rrset|retransfer|zone-unset|zone-*|conf-*|reconfig|managed-keys|signing|thaw|addzone|modzone|-k|-g|-l
nsupdate
dig,drill,kdig axfr|AXFR|ixfr*
host -l
dnsrecon,dnsenum,fierce,sublist3r,amass,nmap-scripts,masscan,zmap,nikto,sqlmap,gobuster,dirb,dirbuster,wfuzz,ffuf,feroxbuster,wpscan,nuclei,hping3,slowhttptest,goldeneye,slowloris,t50,loic,hoic,xerxes
nmap --script*|-sS|-sU|-O|-A|--exploit|-sA|-sF|-sX|-D|-S
apigeecli,apigee apis|apps|developers|envs|products|keyvaluemaps|kvms|kvm|targetservers|sharedflows|organizations|orgs|instances|datacollectors|caches|references|keystores|resources|env*|apicategories|apidocs|sites|appgroups|flowhooks delete|undeploy|detach|remove|update|clean|deploy|import|unset|revoke|attach|set
tyk,gravitee,wso2,apictl,kraken,krakend delete|undeploy|import|change-status|reset|remove
openstack,nova,cinder,neutron,glance,swift,heat,ironic delete|server|volume|image|network|project|user|stack|subnet|router|port|keypair|flavor|container|object|security|floating|role|quota|service|endpoint|hypervisor|zone|baremetal|loadbalancer delete|remove|unset|set|stop|reboot|rebuild|lock|suspend|shelve|migrate|evacuate|abandon|unshelve|purge|force-delete|resize|pause
govc,esxcli,vim-cmd,ovftool,prlctl,virsh,qm,pct,pvesh,pveum,pvecm,pvesm,xe,xl vm.destroy|object.destroy|vm.power|datastore.rm|delete|destroy|vmsvc/destroy|vmsvc/power.off|undefine|shutdown|stop|reset|vm-destroy|vm-uninstall|sr-destroy|pool-*|vm-shutdown|host-*|vdi-destroy|remove|unlink|free|rollback|expelnode|delnode|net-destroy|pool-destroy|vol-delete|vol-wipe|pool-delete|net-undefine|snapshot-delete|snapshot-revert|managedsave-remove|reboot|suspend|detach-*|blockcommit|system|network|storage|vm|software|host.*|datacenter.*|cluster.*|folder.*|role.*|permissions.*|snapshot.remove|snapshot.revert
doctl compute|databases|kubernetes|apps|registry|projects|vpcs|serverless|monitoring|1-click|genai delete|rm|d|destroy|delete-tag|delete-selective|create|recreate|droplet-action|power-off|shutdown|reboot|rebuild|resize|restore|password-reset|undeploy|remove-*|garbage-collection|pool|firewalls|reset
linode-cli *s delete|rm|shutdown|reboot|rebuild|password-reset|*-delete|resize|rescue|recycle|detach|reset|disk-*|config-*|*-reset|rebuild
linode-cli delete|rm|shutdown|rebuild
hcloud server|volume|network|firewall|image|ssh-key|load-balancer|primary-ip|floating-ip|certificate|placement-group delete|rebuild|poweroff|shutdown|reset|reset-password|detach|remove-*|detach-*|enable-rescue|reboot|delete-*|unassign|disable-*|change-*|attach-iso
vultr-cli instance|bare-metal|block-storage|database|dns|firewall|kubernetes|load-balancer|object-storage|reserved-ip|snapshot|ssh-key|startup-script|user|vpc|vpc2|container-registry|iso delete|stop|restart|reinstall|halt|reboot|detach|destroy|delete-*|remove|restore|rebuild|revoke*
scw,exo,civo,upctl,ovhcloud,gandi,packet,metal,equinix,leaseweb,ionosctl,anexia,stackit,tencentcli,tccli,aliyun,hwcloud,yc,selectel,cherryctl delete|rm|terminate|destroy|remove|stop|reset|reboot|Delete*|Stop*|Release*|Terminate*|Reboot*|Remove*|Reset*|detach|poweroff|reinstall|undeploy
oci compute|os|db|iam|network|bv|fs|ce|lb|kms|vault|dns|fn|oke|artifacts|waf|limits|ons|streaming|mysql|nosql|apigateway|container-instances|bastion|email|data-science|secrets|certs-mgmt|devops|events|logging|resource-manager|instance-pool terminate|delete|bulk-delete|action|schedule-deletion|detach|schedule-*|*-deletion|purge|reset|restart|failover|stop|switchover|disable|revoke|change-*|destroy-job
ibmcloud ks|is|resource|cos|cr|iam|cf|ce|dl|dns|sl|fn|plugin|code-engine|oc|cdb|pi|tg|cis|sat|satellite|ce rm|delete|*-delete|*-rm|remove|unbind|object-delete|bucket-delete|instance-stop|*-deletion|service-instance-delete|*-remove|*-reset|*-reload|user-remove|account|reboot|cancel|uninstall|disable|*-disable
snowsql,snow -q|sql|object|stage|warehouse|connection|app|spcs|-f|--query *drop*|*DROP*|drop|*TRUNCATE*|*truncate*|*DELETE*|*delete*|remove|delete|suspend|teardown|undeploy
databricks clusters|jobs|workspace|fs|secrets|repos|tokens|groups|users|warehouses|pipelines|instance-pools|libraries|catalogs|schemas|tables|service-principals|apps|bundle|experiments|grants|volumes|serving-endpoints|unity-catalog|dbfs|metastores|account permanent-delete|delete|rm|delete-*|delete_scope|put-*|destroy|deploy|reset|cancel*|uninstall|revoke|update|create|--json|stop|stop-update
bq rm|truncate|remove|cancel|load
gcloud delete|disable|destroy|remove-*|clear|reset|stop|suspend|abandon-instances|delete-*|detach-*|failover|purge|cancel|unset|undeploy|reject|revoke|rollback|disassociate|evict|remove|restart|resize|restore|import|terminate|withdraw|release|stop-*|deprecate|force-*
az delete|purge|deallocate|stop|remove|disable|reset*|revoke|restart|failover|rotate*|regenerate*|renew|unregister|delete-*|remove-*|cancel|detach|redeploy|reimage|swap|unassign|uninstall|unlink|disassociate|deactivate|abort|clear|flush|force-reboot|suspend|pause|disconnect|unbind|undeploy|power-off|reboot|dissociate|evict|wipe|release|restore|invalidate|terminate
""",
}
