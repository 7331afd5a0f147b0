BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE attentune_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT attentune_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "attentune_alembic_version" VALUES('0002');
CREATE TABLE attentune_architectures (
	"key" VARCHAR(12) NOT NULL, 
	text TEXT NOT NULL, 
	backbone VARCHAR(200) NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "attentune_architectures" VALUES('9447e7c5caf7','test_resnet','test_resnet');
INSERT INTO "attentune_architectures" VALUES('108f32cb00b0','test_resnet+se(r=16,start=identity)@all.residual','test_resnet');
INSERT INTO "attentune_architectures" VALUES('affb6ea05007','test_resnet+eca(start=identity)@all.residual','test_resnet');
INSERT INTO "attentune_architectures" VALUES('305c0c20e6cb','test_resnet+cbam(r=16,start=identity)@all.residual','test_resnet');
INSERT INTO "attentune_architectures" VALUES('c87aec602894','test_resnet+ca(r=32,start=identity)@all.residual','test_resnet');
INSERT INTO "attentune_architectures" VALUES('7fc59c02c193','test_resnet+ca(r=4,start=identity)@s1-s2.residual+se(r=8,start=identity)@s3.residual+cbam(r=8,start=identity)@s4.residual','test_resnet');
CREATE TABLE attentune_environments (
	digest VARCHAR(16) NOT NULL, 
	facts JSON NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "attentune_environments" VALUES('7ffdd4d1251b32f9','{"device": "cpu (Intel(R) Xeon(R) Processor)", "precision": "float32", "instructions": "AVX512", "threads": "1", "python": "3.11.7", "attentune": "0.1.0", "torch": "2.13.0+cpu", "timm": "1.0.31", "optuna": "5.0.0", "numpy": "2.4.6", "system": "Linux x86_64, 2 cores", "attentune commit": "79572dd63288", "steps": "eager: no CUDA graphs on cpu"}');
CREATE TABLE attentune_epochs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	trial_id INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	train_loss DOUBLE, 
	accuracy DOUBLE, 
	val_loss DOUBLE, 
	lr DOUBLE, 
	seconds DOUBLE, 
	CONSTRAINT attentune_epochs_once UNIQUE (trial_id, epoch), 
	FOREIGN KEY(trial_id) REFERENCES attentune_trials (id) ON DELETE CASCADE
);
INSERT INTO "attentune_epochs" VALUES(1,1,1,2.36639261245727539062e+00,7.6923076923076927347e-02,2.30537707989032458755e+00,0.002,1.78410280999742099083e-01);
INSERT INTO "attentune_epochs" VALUES(2,1,2,2.27593588829040527343e+00,7.6923076923076927347e-02,2.30675257169283343117e+00,1.11111111111111111014e-03,0.0821247019994189);
INSERT INTO "attentune_epochs" VALUES(3,2,1,2.36639261245727539062e+00,7.6923076923076927347e-02,2.30537707989032458755e+00,0.002,9.17445940012839855626e-02);
INSERT INTO "attentune_epochs" VALUES(4,2,2,2.27593588829040527343e+00,7.6923076923076927347e-02,2.30675257169283343117e+00,1.11111111111111111014e-03,9.09041679988149553537e-02);
INSERT INTO "attentune_epochs" VALUES(5,3,1,2.36639261245727539062e+00,7.6923076923076927347e-02,2.30537707989032458755e+00,0.002,8.9662490001501282677e-02);
INSERT INTO "attentune_epochs" VALUES(6,3,2,2.27593588829040527343e+00,7.6923076923076927347e-02,2.30675257169283343117e+00,1.11111111111111111014e-03,8.58313450007699429988e-02);
INSERT INTO "attentune_epochs" VALUES(7,4,1,2.36639261245727539062e+00,7.6923076923076927347e-02,2.30537707989032458755e+00,0.002,1.42479222000474692322e-01);
INSERT INTO "attentune_epochs" VALUES(8,4,2,2.27593588829040527343e+00,7.6923076923076927347e-02,2.30675257169283343117e+00,1.11111111111111111014e-03,1.00533287999496678821e-01);
INSERT INTO "attentune_epochs" VALUES(9,5,1,2.36639261245727539062e+00,7.6923076923076927347e-02,2.30537707989032458755e+00,0.002,1.16415614000288769602e-01);
INSERT INTO "attentune_epochs" VALUES(10,5,2,2.27593588829040527343e+00,7.6923076923076927347e-02,2.30675257169283343117e+00,1.11111111111111111014e-03,1.080334679991210578e-01);
INSERT INTO "attentune_epochs" VALUES(11,6,1,2.36639261245727539062e+00,7.6923076923076927347e-02,2.30537707989032458755e+00,0.002,9.82433839999430347234e-02);
CREATE TABLE attentune_failures (
	trial_id INTEGER NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	message TEXT NOT NULL, 
	traceback TEXT NOT NULL, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES attentune_trials (id) ON DELETE CASCADE
);
CREATE TABLE attentune_leases (
	study_id INTEGER NOT NULL, 
	token VARCHAR(32) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	pid BIGINT NOT NULL, 
	heartbeat DOUBLE NOT NULL, 
	PRIMARY KEY (study_id), 
	FOREIGN KEY(study_id) REFERENCES attentune_studies (id) ON DELETE CASCADE
);
CREATE TABLE attentune_probes (
	digest VARCHAR(16) NOT NULL, 
	question JSON NOT NULL, 
	answer JSON NOT NULL, 
	asked_at DATETIME NOT NULL, 
	PRIMARY KEY (digest)
);
CREATE TABLE attentune_rejections (
	id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	number INTEGER, 
	architecture_key VARCHAR(12) NOT NULL, 
	architecture TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	rejected_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study_id) REFERENCES attentune_studies (id) ON DELETE CASCADE
);
CREATE TABLE attentune_studies (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR(100) NOT NULL, 
	folder VARCHAR(40) NOT NULL, 
	created_at DATETIME NOT NULL, 
	version VARCHAR(40) NOT NULL, 
	backbone VARCHAR(200) NOT NULL, 
	objectives JSON NOT NULL, 
	config JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	spent_seconds DOUBLE NOT NULL, 
	UNIQUE (name), 
	UNIQUE (folder)
);
INSERT INTO "attentune_studies" VALUES(1,'earlier','study-32fcbba1','2026-11-30 02:15:30.984289','0.1.0','test_resnet','["accuracy", "params"]','{"study": {"backbone": "test_resnet", "recipe": {"data": "digits", "image_size": 16, "stem": "small", "init": "scratch", "train_limit": 128, "val_fraction": 0.2, "data_seed": 0, "skip_broken": false, "epochs": 2, "batch_size": 64, "optimizer": "adamw", "lr": 0.002, "weight_decay": 0.05, "schedule": "wsd", "warmup": 0.05, "decay": 0.4, "label_smoothing": 0.0, "ema": 0.99, "flip": false, "crop": 2, "cutout": 0, "mirror": false, "precision": "float32", "channels_last": false, "cuda_graph": true}, "space": {"name": "quick", "about": "one choice of attention and ratio for every stage, at the end of the residual branch", "granularity": "stage", "stages": [], "attentions": ["none", "se", "eca", "cbam", "ca"], "ratios": [4, 8, 16], "positions": ["residual"], "fallback_positions": ["post", "mid", "stage"], "shared": [], "start": "identity", "options": {}, "strip_attention": false}, "objectives": ["accuracy", "params"], "limits": {}, "sampler": "additive", "pruning": {"pruner": "none", "eta": 3, "first": 0.25, "signal": "expected", "chance": 0.15}, "seed": 0, "device": "cpu", "num_classes": 10, "stages": 4, "reference_latency_ms": null, "tuning": []}, "plan": {"trials": 8, "budget": null, "device_budget": null, "trial_timeout": null, "workers": 1, "workers_per_gpu": 1, "pool": "local", "device": "cpu"}, "plugins": {}, "command": null}',0,2.05223829200076579581e+00);
CREATE TABLE attentune_trials (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	study_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	architecture_key VARCHAR(12) NOT NULL, 
	seed BIGINT NOT NULL, 
	role VARCHAR(20) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	epochs INTEGER NOT NULL, 
	accuracy DOUBLE, 
	params BIGINT, 
	macs BIGINT, 
	latency_ms DOUBLE, 
	latency_ratio DOUBLE, 
	memory_mib DOUBLE, 
	seconds DOUBLE, 
	device_seconds DOUBLE, 
	peak_memory_mib DOUBLE, 
	worker VARCHAR(200), 
	note TEXT, 
	environment VARCHAR(16), 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT attentune_trials_number UNIQUE (study_id, number), 
	FOREIGN KEY(study_id) REFERENCES attentune_studies (id) ON DELETE CASCADE, 
	FOREIGN KEY(architecture_key) REFERENCES attentune_architectures ("key"), 
	FOREIGN KEY(environment) REFERENCES attentune_environments (digest)
);
INSERT INTO "attentune_trials" VALUES(1,1,0,'9447e7c5caf7',0,'baseline','complete',2,7.6923076923076927347e-02,373658,10752960,NULL,NULL,NULL,5.13664493000760558061e-01,0.260534982999161,371.43359375,'w1',NULL,'7ffdd4d1251b32f9','2026-11-30 02:15:31.434200','2026-11-30 02:15:31.943220');
INSERT INTO "attentune_trials" VALUES(2,1,1,'108f32cb00b0',0,'baseline','complete',2,7.6923076923076927347e-02,379834,10759136,NULL,NULL,NULL,1.98674634999406407587e-01,1.82648762000098940916e-01,385.12890625,'w1',NULL,'7ffdd4d1251b32f9','2026-11-30 02:15:31.970837','2026-11-30 02:15:32.152184');
INSERT INTO "attentune_trials" VALUES(3,1,2,'affb6ea05007',0,'baseline','complete',2,7.6923076923076927347e-02,373672,10754448,NULL,NULL,NULL,1.88172488999043707735e-01,1.75493835002271225675e-01,386.109375,'w1',NULL,'7ffdd4d1251b32f9','2026-11-30 02:15:32.171172','2026-11-30 02:15:32.348621');
INSERT INTO "attentune_trials" VALUES(4,1,3,'305c0c20e6cb',0,'baseline','complete',2,7.6923076923076927347e-02,380234,10798632,NULL,NULL,NULL,2.5828631800141010899e-01,2.43012509999971371144e-01,398.71875,'w1',NULL,'7ffdd4d1251b32f9','2026-11-30 02:15:32.371776','2026-11-30 02:15:32.616508');
INSERT INTO "attentune_trials" VALUES(5,1,4,'c87aec602894',0,'baseline','complete',2,7.6923076923076927347e-02,383326,10812352,NULL,NULL,NULL,2.42047814999750698916e-01,2.24449081999409827403e-01,399.09375,'w1',NULL,'7ffdd4d1251b32f9','2026-11-30 02:15:32.683775','2026-11-30 02:15:32.921810');
INSERT INTO "attentune_trials" VALUES(6,1,5,'7fc59c02c193',0,'search','running',1,NULL,387996,10801992,NULL,NULL,NULL,NULL,NULL,NULL,'w1',NULL,NULL,'2026-11-30 02:15:32.942419',NULL);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'earlier');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["accuracy", "params"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'s1.attention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(2,1,'s2.attention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(3,1,'s3.attention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(4,1,'s4.attention',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(5,2,'s1.attention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(6,2,'s1.se.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(7,2,'s2.attention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(8,2,'s2.se.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(9,2,'s3.attention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(10,2,'s3.se.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(11,2,'s4.attention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(12,2,'s4.se.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(13,3,'s1.attention',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(14,3,'s2.attention',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(15,3,'s3.attention',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(16,3,'s4.attention',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(17,4,'s1.attention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(18,4,'s1.cbam.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(19,4,'s2.attention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(20,4,'s2.cbam.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(21,4,'s3.attention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(22,4,'s3.cbam.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(23,4,'s4.attention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(24,4,'s4.cbam.r',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(25,6,'s1.attention',4.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(26,6,'s2.attention',4.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(27,6,'s2.ca.r',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8]}}');
INSERT INTO "trial_params" VALUES(28,6,'s3.attention',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(29,6,'s3.se.r',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
INSERT INTO "trial_params" VALUES(30,6,'s4.attention',3.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "se", "eca", "cbam", "ca"]}}');
INSERT INTO "trial_params" VALUES(31,6,'s4.cbam.r',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8, 16]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"s1.attention": "none", "s2.attention": "none", "s3.attention": "none", "s4.attention": "none"}');
INSERT INTO "trial_system_attributes" VALUES(2,2,'fixed_params','{"s1.attention": "se", "s1.se.r": 16, "s2.attention": "se", "s2.se.r": 16, "s3.attention": "se", "s3.se.r": 16, "s4.attention": "se", "s4.se.r": 16}');
INSERT INTO "trial_system_attributes" VALUES(3,3,'fixed_params','{"s1.attention": "eca", "s2.attention": "eca", "s3.attention": "eca", "s4.attention": "eca"}');
INSERT INTO "trial_system_attributes" VALUES(4,4,'fixed_params','{"s1.attention": "cbam", "s1.cbam.r": 16, "s2.attention": "cbam", "s2.cbam.r": 16, "s3.attention": "cbam", "s3.cbam.r": 16, "s4.attention": "cbam", "s4.cbam.r": 16}');
INSERT INTO "trial_system_attributes" VALUES(5,6,'fixed_params','{"s1.attention": "ca", "s2.attention": "ca", "s2.ca.r": 4, "s3.attention": "se", "s3.se.r": 8, "s4.attention": "cbam", "s4.cbam.r": 8}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'architecture','"test_resnet"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'key','"9447e7c5caf7"');
INSERT INTO "trial_user_attributes" VALUES(3,1,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(4,1,'role','"baseline"');
INSERT INTO "trial_user_attributes" VALUES(5,2,'architecture','"test_resnet+se(r=16,start=identity)@all.residual"');
INSERT INTO "trial_user_attributes" VALUES(6,2,'key','"108f32cb00b0"');
INSERT INTO "trial_user_attributes" VALUES(7,2,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(8,2,'role','"baseline"');
INSERT INTO "trial_user_attributes" VALUES(9,3,'architecture','"test_resnet+eca(start=identity)@all.residual"');
INSERT INTO "trial_user_attributes" VALUES(10,3,'key','"affb6ea05007"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(12,3,'role','"baseline"');
INSERT INTO "trial_user_attributes" VALUES(13,4,'architecture','"test_resnet+cbam(r=16,start=identity)@all.residual"');
INSERT INTO "trial_user_attributes" VALUES(14,4,'key','"305c0c20e6cb"');
INSERT INTO "trial_user_attributes" VALUES(15,4,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(16,4,'role','"baseline"');
INSERT INTO "trial_user_attributes" VALUES(17,5,'architecture','"test_resnet+ca(r=32,start=identity)@all.residual"');
INSERT INTO "trial_user_attributes" VALUES(18,5,'key','"c87aec602894"');
INSERT INTO "trial_user_attributes" VALUES(19,5,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(20,5,'role','"baseline"');
INSERT INTO "trial_user_attributes" VALUES(21,6,'architecture','"test_resnet+ca(r=4,start=identity)@s1-s2.residual+se(r=8,start=identity)@s3.residual+cbam(r=8,start=identity)@s4.residual"');
INSERT INTO "trial_user_attributes" VALUES(22,6,'key','"7fc59c02c193"');
INSERT INTO "trial_user_attributes" VALUES(23,6,'seed','0');
INSERT INTO "trial_user_attributes" VALUES(24,6,'role','"search"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,7.6923076923076927347e-02,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,373658.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,7.6923076923076927347e-02,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,379834.0,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,7.6923076923076927347e-02,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,373672.0,'FINITE');
INSERT INTO "trial_values" VALUES(7,4,0,7.6923076923076927347e-02,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,1,380234.0,'FINITE');
INSERT INTO "trial_values" VALUES(9,5,0,7.6923076923076927347e-02,'FINITE');
INSERT INTO "trial_values" VALUES(10,5,1,383326.0,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-30 02:15:31.378314','2026-11-30 02:15:31.955990');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-30 02:15:31.950889','2026-11-30 02:15:32.160764');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-30 02:15:32.158177','2026-11-30 02:15:32.358122');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-30 02:15:32.355400','2026-11-30 02:15:32.675383');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-11-30 02:15:32.624577','2026-11-30 02:15:32.928057');
INSERT INTO "trials" VALUES(6,5,1,'RUNNING','2026-11-30 02:15:32.925219',NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX attentune_trials_once ON attentune_trials (study_id, architecture_key, seed) WHERE state <> 'failed';
CREATE INDEX attentune_trials_state ON attentune_trials (study_id, state);
CREATE INDEX attentune_trials_architecture ON attentune_trials (architecture_key);
CREATE INDEX attentune_rejections_study ON attentune_rejections (study_id);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('attentune_studies',1);
INSERT INTO "sqlite_sequence" VALUES('attentune_trials',6);
INSERT INTO "sqlite_sequence" VALUES('attentune_epochs',11);
COMMIT;
